"""Writes the index for one client, only while it holds the right to write."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from cardex.domain.errors import CardexError, IndexMissing, InvalidReport, VersionMismatch
from cardex.domain.index import IndexInfo
from cardex.domain.jobs import Priority
from cardex.domain.reports import Report
from cardex.inference.encoder import Encoder, ModelInfo, served_model
from cardex.reports.validation import validated
from cardex.retrieval.active_index import ActiveIndex
from cardex.retrieval.case_writer import CaseWriter
from cardex.retrieval.migration import Migration
from cardex.retrieval.write_lease import Lock, WriteLease
from cardex.stores.answer_cache import AnswerCache
from cardex.stores.report_index import ReportIndex

logger = logging.getLogger(__name__)

MAX_CHUNK = 1_000
CLOCKS_APART_S = 60.0
"""How far the clocks of those that write may differ: what was filed shortly before comes along."""


class IndexWriter:
    """One client's writing: chunks, deletions or a migration, each step fenced by the lease.

    A context: entering takes the right to write, leaving removes what is unfinished and lets go.
    """

    def __init__(
        self,
        encoder: Encoder,
        store: ReportIndex,
        active_index: ActiveIndex,
        lock: Lock,
        cache: AnswerCache,
    ) -> None:
        """Write into an index.

        Args:
            encoder: embeds the reports.
            store: the index.
            active_index: hears of changes.
            lock: keeps others from writing.
            cache: forgets what it holds where something is deleted.
        """
        self._encoder = encoder
        self._store = store
        self._active_index = active_index
        self._cache = cache
        self._lease = WriteLease(lock)
        self._model: ModelInfo | None = None
        self._index: IndexInfo | None = None
        self._unfinished: Callable[[], None] | None = None
        self.stored = 0

    def __enter__(self) -> Self:
        """Begin, as `begin` does."""
        self.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End, as `end` does."""
        self.end()

    def begin(self) -> None:
        """Take the right to write.

        Raises:
            Overloaded: if another client writes, through whichever gateway.
            Unavailable: if the state store is down.
        """
        self._lease.take()

    def end(self) -> None:
        """Remove what is unfinished, and let go of the right to write."""
        try:
            if self._unfinished is not None:
                self._unfinished()
        except CardexError as error:  # the next rebuild removes it
            logger.warning("an unfinished index stays for now: %s", error.message)
        finally:
            self._unfinished = None
            self._lease.release()

    def open(self, *, rebuild: bool) -> None:
        """Open the index in force, or a new one that answers after `commit`.

        Raises:
            IndexMissing: if none is in force and `rebuild` is False.
            VersionMismatch: if the one in force belongs to another model and `rebuild` is False.
            Unavailable: if Triton or Milvus is down.
        """
        if rebuild:
            self._model = _model_in_force(self._encoder, self._store)
            self._lease.require()
            made = self._store.create(self._model.version, self._model.dimension)
            self._index, self._unfinished = made, lambda: self._store.drop(made)
        else:
            self._active_index.refresh()
            snapshot = self._active_index.current()
            self._model, self._index = snapshot.model, snapshot.index

    def add(self, reports: Sequence[Report]) -> int:
        """Embed and store a chunk; among equal ids the last one stays.

        Returns:
            How many reports were stored since `open`.

        Raises:
            InvalidReport: naming the report; nothing of the chunk was stored.
            Unavailable: if a part is down, or the right to write was lost.
        """
        assert self._model is not None
        assert self._index is not None
        by_id = {report.report_id: report for report in map(validated, reports)}
        chunk = list(by_id.values())
        if not chunk:
            return self.stored
        texts = [report.text for report in chunk]
        embeddings = self._encoder.embed_texts(self._model, texts, Priority.ROUTINE)
        self._lease.require()
        self._store.upsert(self._index, chunk, embeddings)
        self.stored += len(chunk)
        if self._unfinished is None:
            # Only now: a new generation must never stand for the old contents.
            self._lease.require()
            self._index = self._store.touch(self._index)
        return self.stored

    def commit(self) -> IndexInfo:
        """Make the reports answer, and return the index.

        Raises:
            InvalidReport: if a rebuild brought no report at all; the old index stays in force.
            Unavailable: if Milvus is down, or the right to write was lost.
        """
        assert self._index is not None
        if self._unfinished is not None:
            if not self.stored:
                raise InvalidReport("no reports were sent: the index stays as it is")
            self._lease.require()
            self._unfinished = None  # from here on it may answer: it is no longer to be dropped
            self._index = self._store.switch(self._index)
        self._active_index.refresh()
        return self._index

    def delete(self, report_ids: Sequence[str]) -> tuple[int, IndexInfo]:
        """Delete reports by id, with their cases; returns how many were there, and the index.

        A new generation follows also where none was there: they may have been deleted by a call
        that failed before its own generation, and caches would go on showing them.

        Raises:
            IndexMissing: if there is no index.
            Unavailable: if Milvus is down, or the right to write was lost.
        """
        index = self._store.current()
        if index.has_cases:
            self._cases().remove_of(index, report_ids)
        self._lease.require()
        deleted = self._store.delete(index, report_ids)
        return deleted, self._erased(index)

    def delete_cases(self, case_ids: Sequence[str]) -> tuple[int, IndexInfo]:
        """Delete cases by id from every index, and the reports that no record is left of.

        Returns:
            How many were in the index in force, or, where that has no cases, in another one; and
            the index in force.

        Raises:
            IndexMissing: if there is no index that has cases.
            Unavailable: if Milvus is down, or the right to write was lost.
        """
        index = self._store.current()
        if not case_ids:
            return 0, index
        # Those that are being filled, and those of before, too.
        having = [one for one in self._store.every() if one.has_cases]
        if not having:
            raise IndexMissing(f"index {index.name} has no cases: build one with `cardex index`")
        deleted = {one.name: self._cases().remove(one, case_ids) for one in having}
        return deleted.get(index.name, max(deleted.values())), self._erased(index)

    def begin_rebuild(self) -> IndexInfo:
        """Make an empty index; cases may be filed in it for days.

        It does not answer before `commit_rebuild`. Where no index can answer, an empty one does
        meanwhile, since nothing can be filed while none does.

        Raises:
            Unavailable: if Triton or Milvus is down, or the right to write was lost.
        """
        model = _model_in_force(self._encoder, self._store)
        self._lease.require()
        try:
            self._active_index.refresh()
            self._active_index.current()
        except (IndexMissing, VersionMismatch):
            self._store.switch(self._store.create(model.version, model.dimension))
            self._active_index.refresh()
            self._lease.require()
        return self._store.create(model.version, model.dimension)

    def commit_rebuild(self, name: str) -> IndexInfo:
        """Make an index of `begin_rebuild` answer, with the cases that were filed meanwhile.

        Raises:
            IndexMissing: if there is no index of that name.
            InvalidReport: if it is empty.
            Unavailable: if Milvus is down, or the right to write was lost.
        """
        index = self._store.named(name)
        if not self._store.count(index):
            raise InvalidReport(f"index {name} is empty: file cases in it first", field="index")
        self._take_over(index)
        self._lease.require()
        index = self._store.switch(index)
        self._active_index.refresh()
        return index

    def _take_over(self, index: IndexInfo) -> None:
        """File in a new index what was filed in the one in force since the new one was begun."""
        source = self._store.current()
        if source.name == index.name or not source.has_cases:
            return
        if source.model_version != index.model_version:
            raise VersionMismatch(
                f"index {index.name} was begun for model {index.model_version}, and"
                f" {source.model_version} answers now: begin anew"
            )
        model = _model_in_force(self._encoder, self._store)
        for rows in self._store.cases.filed_since(source, index.created - CLOCKS_APART_S):
            reports = self._store.get(source, sorted({row.filed.report_id for row in rows}))
            self._cases().put(
                index,
                model,
                [
                    (replace(row.filed.case, text=reports[row.filed.report_id].text), row)
                    for row in rows
                    if row.filed.report_id in reports
                ],
            )

    def _cases(self) -> CaseWriter:
        return CaseWriter(self._encoder, self._store, self._lease.require)

    def _erased(self, index: IndexInfo) -> IndexInfo:
        """Give the index a new generation, look it up, and forget all that was made of the old."""
        self._lease.require()
        index = self._store.touch(index)
        self._active_index.refresh()
        self._cache.forget(index)
        return index

    def migrate(self, model_version: str, *, shadow: bool) -> Iterator[Migration]:
        """Embed the reports in force by another model; yields the migration after each step.

        Args:
            model_version: a served model.
            shadow: make the index, but let the old one go on answering.

        Raises:
            VersionMismatch: if the model is not served.
            IndexMissing: if there is no index to take the reports from.
            Unavailable: if a part is down, the reports change faster than they are followed, or the
                right to write was lost.
        """
        migration = Migration(self._encoder, self._store, model_version, self._lease.require)
        self._unfinished = migration.abandon
        for _ in migration.run():
            yield migration
        if not shadow:
            migration.commit()
        self._unfinished = None
        self._active_index.refresh()


def _model_in_force(encoder: Encoder, store: ReportIndex) -> ModelInfo:
    """Return the model that the index in force was built with, or the newest if that is not served.

    An index that this version of Cardex cannot search still tells its model: so a rebuild never
    takes a newer one that is only tried out beside it.
    """
    try:
        found = served_model(encoder, store.model_in_force())
    except IndexMissing:
        found = None
    return found or encoder.models()[0]
