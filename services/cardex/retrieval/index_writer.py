"""Reports into the index: embedded once, in batches, into the index in force or a new one."""

import re
from collections.abc import Sequence

from cardex.domain.errors import IndexMissing, InvalidReport
from cardex.domain.index import IndexInfo
from cardex.domain.jobs import Priority
from cardex.domain.reports import Report, Statement
from cardex.inference.encoder import Encoder, ModelInfo, served_model
from cardex.reports.language import language_of
from cardex.reports.ptbxl import normalise, report_id
from cardex.retrieval.active_index import ActiveIndex
from cardex.stores.report_index import ReportIndex

MAX_TEXT = 20_000
MAX_CHUNK = 1_000
_REPORT_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)


class Indexer:
    """Writes reports into one index."""

    def __init__(
        self, encoder: Encoder, store: ReportIndex, catalogue: ActiveIndex, *, rebuild: bool
    ) -> None:
        """Open the index in force, or a new one that answers after `commit`.

        Raises:
            IndexMissing: if none is in force and `rebuild` is False.
            VersionMismatch: if the one in force belongs to another model and `rebuild` is False.
            Unavailable: if Triton or Milvus is down.
        """
        self._encoder = encoder
        self._store = store
        self._catalogue = catalogue
        self._rebuild = rebuild
        self.stored = 0
        if rebuild:
            self._model = _model_in_force(encoder, store)
            self._index = store.create(self._model.version, self._model.dimension)
        else:
            edition = catalogue.current()
            self._model, self._index = edition.model, edition.index

    def add(self, reports: Sequence[Report]) -> None:
        """Embed and store a chunk; among equal ids the last one stays.

        Raises:
            InvalidReport: naming the report; nothing of the chunk was stored.
        """
        by_id = {report.report_id: report for report in map(checked, reports)}
        if not by_id:
            return
        chunk = list(by_id.values())
        texts = [report.text for report in chunk]
        embeddings = self._encoder.embed_texts(self._model, texts, Priority.ROUTINE)
        self._store.upsert(self._index, chunk, embeddings)
        self.stored += len(chunk)
        if not self._rebuild:
            # Only now: a new generation must never stand for the old contents.
            self._index = self._store.touch(self._index)

    def commit(self) -> IndexInfo:
        """Make the reports answer.

        Raises:
            InvalidReport: if a rebuild brought no report at all; the old index stays in force.
        """
        if self._rebuild:
            if not self.stored:
                self.abandon()
                raise InvalidReport("no reports were sent: the index stays as it is")
            self._rebuild = False  # from here on it may answer: it is no longer to be dropped
            self._index = self._store.switch(self._index)
        self._catalogue.forget()
        return self._index

    def abandon(self) -> None:
        """Remove a new index that will not be finished."""
        if self._rebuild:
            self._store.drop(self._index)


def _model_in_force(encoder: Encoder, store: ReportIndex) -> ModelInfo:
    """Return the model of the index that answers, or the newest where that one is not served."""
    try:
        found = served_model(encoder, store.current().model_version)
    except IndexMissing:
        found = None
    return found or encoder.models()[0]


def checked(report: Report) -> Report:
    """Complete a report: id and language from its text where they are missing.

    Raises:
        InvalidReport: if the text is empty or too long, or the id has other characters.
    """
    text = normalise(report.text)
    if not text or len(text) > MAX_TEXT:
        raise InvalidReport(
            f"report {report.report_id[:64]!r}: the text has {len(text)} characters,"
            f" must have 1 to {MAX_TEXT}",
            field="reports.text",
        )
    identity = report.report_id or report_id(text)
    if not _REPORT_ID.fullmatch(identity):
        raise InvalidReport(
            f"report id {identity[:64]!r}: 1 to 64 letters, digits, '_', '.', ':' or '-'",
            field="reports.report_id",
        )
    for statement in report.statements:
        _check_statement(statement, identity)
    return Report(
        report_id=identity,
        text=text,
        language=report.language or language_of(text),
        record_ids=report.record_ids,
        record_count=max(report.record_count, len(report.record_ids)),
        statements=report.statements,
    )


def _check_statement(statement: Statement, report_id: str) -> None:
    likelihood = 100.0 if statement.likelihood is None else statement.likelihood
    # Comparisons that a NaN fails.
    if not statement.code or not 0.0 < likelihood <= 100.0 or not 0.0 < statement.support <= 1.0:
        raise InvalidReport(
            f"report {report_id!r}, statement {statement.code[:20]!r}: needs a code, a likelihood in"
            " (0, 100] or none, and a support in (0, 1]",
            field="reports.statements",
        )
