"""What answers now, embedded by another served model: what a new model version needs."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from cardex.domain.cases import FiledCase
from cardex.domain.ecg import Embedding
from cardex.domain.errors import Unavailable, VersionMismatch
from cardex.domain.index import IndexInfo
from cardex.domain.jobs import Priority
from cardex.domain.reports import Report
from cardex.inference.encoder import Encoder, ModelInfo, served_model
from cardex.signals.images import image_of
from cardex.signals.trace import waveform_of
from cardex.stores.case_index import CaseRow
from cardex.stores.report_index import ReportIndex

CASES_AT_ONCE = 256
PASSES = 5
"""How often changes of the old index are followed before it is said to be too busy."""


class Migration:
    """Makes an index of another model with the same reports and cases, while the old one answers.

    ECGs are embedded anew from their traces.
    """

    def __init__(
        self,
        encoder: Encoder,
        store: ReportIndex,
        model_version: str,
        require: Callable[[], None],
    ) -> None:
        """Find the model; nothing is made yet.

        Args:
            encoder: embeds the reports.
            store: holds the indexes.
            model_version: a served model.
            require: called right before each write; raises where the right to write was lost.

        Raises:
            VersionMismatch: if the model is not served; names what is.
            IndexMissing: if there is no index to take the reports from.
            Unavailable: if Triton or Milvus is down.
        """
        self._encoder = encoder
        self._store = store
        self._require = require
        self._model = _served(encoder, model_version)
        self._made: IndexInfo | None = None
        self.stored = 0
        self.total = store.count(store.current())

    def run(self) -> Iterator[int]:
        """Embed what the new index lacks; yields how many reports it has so far.

        An index of this model with the same reports is taken as it is. Reports that come and go
        meanwhile are followed, until a pass finds the old index as it was before it.

        Raises:
            Unavailable: if Triton or Milvus is down, or the reports change faster than they are
                followed.
        """
        source = self._store.current()
        self.index = self._ready(source) or self._create()
        for place in range(PASSES + 1):
            if self.index.same_reports(source):
                yield self.stored
                return
            if place == PASSES:
                break
            yield from self._follow(source)
            self._require()
            self.index = self._store.pair(self._store.touch(self.index), source)
            source = self._store.current()
        raise _too_fast()

    def commit(self) -> IndexInfo:
        """Make the new index answer.

        Raises:
            Unavailable: if reports changed since the last pass; nothing was switched.
        """
        source = self._store.current()
        if not self.index.same_reports(source):
            raise _too_fast()
        self._require()
        self._made = None  # from here on it may answer: it is no longer to be dropped
        self.index = self._store.switch(self.index)
        return self.index

    def abandon(self) -> None:
        """Remove an unfinished index."""
        if self._made is not None:
            self._store.drop(self._made)

    def _ready(self, source: IndexInfo) -> IndexInfo | None:
        for index in self._store.of_model(self._model.version):
            if index.same_reports(source):
                self.stored = self.total
                return index
        return None

    def _create(self) -> IndexInfo:
        self._require()
        self._made = self._store.create(self._model.version, self._model.dimension)
        return self._made

    def _follow(self, source: IndexInfo) -> Iterator[int]:
        """Bring the new index to what the old one has, page by page."""
        seen: set[str] = set()
        for page in self._store.pages(source):
            ids = [report.report_id for report in page]
            seen.update(ids)
            there = self._store.get(self.index, ids)
            self._embed([report for report in page if there.get(report.report_id) != report])
            self.stored = len(seen)
            yield self.stored
        for page in self._store.pages(self.index):
            gone = [report.report_id for report in page if report.report_id not in seen]
            self._require()
            self._store.delete(self.index, gone)
        if source.has_cases:
            yield from self._follow_cases(source)

    def _follow_cases(self, source: IndexInfo) -> Iterator[int]:
        """Bring the new index to the cases that the old one has, page by page."""
        seen: set[str] = set()
        cases = self._store.cases
        for page, _ in cases.embedded_pages(source, CASES_AT_ONCE):
            by_id = {filed.case.case_id: filed for filed in page}
            seen.update(by_id)
            same = self._same_cases(source, by_id)
            self._embed_cases(source, [filed for one, filed in by_id.items() if one not in same])
            yield self.stored
        for page, _ in cases.embedded_pages(self.index, CASES_AT_ONCE):
            ids = (filed.case.case_id for filed in page)
            self._require()
            cases.delete(self.index, [case_id for case_id in ids if case_id not in seen])

    def _same_cases(self, source: IndexInfo, by_id: Mapping[str, FiledCase]) -> set[str]:
        """Return the ids of the cases that are in both indexes with the same ECG."""
        cases = self._store.cases
        there = cases.get(self.index, list(by_id))
        same = [one for one, filed in by_id.items() if there.get(one) == filed]
        old, new = cases.traces(source, same), cases.traces(self.index, same)
        return {one for one in same if old.get(one) == new.get(one)}

    def _embed_cases(self, source: IndexInfo, filed: Sequence[FiledCase]) -> None:
        if not filed:
            return
        ids = [one.case.case_id for one in filed if one.case.has_ecg]
        traces = self._store.cases.traces(source, ids)
        known = sorted(traces)
        vectors: dict[str, Embedding] = {}
        if known:
            images = np.stack(
                [image_of(waveform_of(traces[one]), self._model.image_spec) for one in known]
            )
            made = self._encoder.embed_images(self._model, images, Priority.ROUTINE)
            vectors = dict(zip(known, made, strict=True))
        rows = [
            CaseRow(one, vectors.get(one.case.case_id), traces.get(one.case.case_id))
            for one in filed
        ]
        self._require()
        self._store.cases.upsert(self.index, rows)

    def _embed(self, reports: Sequence[Report]) -> None:
        if reports:
            texts = [report.text for report in reports]
            embeddings = self._encoder.embed_texts(self._model, texts, Priority.ROUTINE)
            self._require()
            self._store.upsert(self.index, reports, embeddings)


def _too_fast() -> Unavailable:
    return Unavailable(
        "the reports change faster than they can be embedded again: stop the imports, and try"
        " again",
        reason="INDEX_BUSY",
        retry_after_s=60.0,
    )


def _served(encoder: Encoder, version: str) -> ModelInfo:
    model = served_model(encoder, version)
    if model is None:
        served = ", ".join(model.version for model in encoder.models())
        raise VersionMismatch(
            f"Triton does not serve model {version[:64]!r}: it serves {served}; deploy it with"
            " `cardex models deploy`"
        )
    return model
