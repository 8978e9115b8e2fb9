"""Five reports, and what is asked of a retriever that has them."""

from cardex.domain.errors import CardexError
from cardex.domain.jobs import Priority, Question
from cardex.domain.reports import Report, Statement
from cardex.retrieval.pipeline import QueryItem
from tests.helpers.answers import decoded
from tests.helpers.ecgs import ecg, typed

REPORTS = [
    Report(f"r{number}", text, "en", statements=(Statement("SR"),))
    for number, text in enumerate(["sinus rhythm", "old infarct", "left axis", "paced", "normal"])
]


def asked(
    seed: int = 0, *, top_k: int = 3, rerank: int = 0, queued_s: float = 0.0, signal=None
) -> QueryItem:
    """Return a question about an ECG of its own for each seed."""
    signal = ecg(bpm=60 + 7 * seed, seed=seed) if signal is None else signal
    return QueryItem(f"sha-{seed}", typed(signal), Question(top_k, rerank), queued_s)


def at_fault() -> QueryItem:
    """Return a question about an ECG that is too short."""
    return QueryItem("sha-bad", typed(ecg(seconds=1.0)), Question(3))


def answer(house, *batch: QueryItem, priority: Priority = Priority.ROUTINE):
    """Return what became of each ECG of a batch: a decoded answer, or its error."""
    found = house.retriever.by_ecg(batch, priority)
    return [one if isinstance(one, CardexError) else decoded(one) for one in found]
