"""A retriever, and the stand-ins for all parts behind it."""

from typing import cast

from cardex.domain.errors import Unavailable
from cardex.domain.reports import Report
from cardex.inference.novelty import Novelty
from cardex.inference.statements import Calibration
from cardex.retrieval.active_index import ActiveIndex
from cardex.retrieval.filing import CaseFiler
from cardex.retrieval.retriever import Retriever
from cardex.stores.answer_cache import AnswerCache
from cardex.stores.report_index import ReportIndex
from tests.helpers.fake_cache import FakeCache
from tests.helpers.fake_encoder import FakeEncoder
from tests.helpers.fake_lock import FakeLock
from tests.helpers.fake_store import FakeStore
from tests.helpers.fresh_active_index import FreshActiveIndex


class House:
    """A retriever with everything behind it; each look-up of the snapshot is a fresh one."""

    def __init__(
        self,
        *reports: Report,
        calibration: Calibration | None = None,
        novelty: Novelty | None = None,
        has_cases: bool = False,
    ) -> None:
        self.encoder, self.cache = FakeEncoder(), FakeCache()
        self.store = FakeStore(has_cases=has_cases)
        self.store.fill(*reports)
        self.active_index: ActiveIndex = FreshActiveIndex(
            self.encoder, self.store, lambda _: calibration, lambda _: novelty
        )
        self.retriever = Retriever(
            self.encoder,
            cast(ReportIndex, self.store),
            cast(AnswerCache, self.cache),
            self.active_index,
            filer=CaseFiler(self.encoder, cast(ReportIndex, self.store), lambda: FakeLock([])),
        )
        self.lost = False

    def require(self) -> None:
        """The right to write the index, until it is `lost`."""
        if self.lost:
            raise Unavailable("another may write", reason="INDEX_BUSY")
