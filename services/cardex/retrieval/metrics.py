"""What tells that ECGs, or how well they are answered, have changed. No label is of a patient."""

import re

from prometheus_client import Counter, Histogram

from cardex.domain.ecg import Waveform
from cardex.domain.errors import CardexError
from cardex.domain.jobs import Answer

SIMILARITY = Histogram(
    "cardex_nearest_similarity",
    "Similarity of the nearest report to an ECG",
    # In the space of the shipped models the nearest reports of ECGs lie at 0.02 to 0.05.
    buckets=[*(step / 500 for step in range(51)), 0.2, 0.5, 1.0],
)
ECGS = Counter("cardex_ecgs", "ECGs that were read", ["device"])
WARNINGS = Counter("cardex_signal_warnings", "Warnings of the signal's quality", ["warning"])
REFUSALS = Counter("cardex_refused_ecgs", "ECGs that could not be answered", ["device", "reason"])

UNREAD = "unread"
"""The device of a file that nobody could read."""
MAKERS = (
    "GE", "Philips", "Hewlett-Packard", "Mortara", "Schiller", "Nihon Kohden", "Fukuda",
    "Welch Allyn", "Spacelabs", "Mindray", "Edan", "Siemens", "Draeger", "BTL", "Norav",
    "Contec", "Bionet",
)  # fmt: skip
"""Carts are counted by their maker, so that a file cannot make a label of its own."""
_BY_WORDS = {maker.casefold(): maker for maker in MAKERS}
_MAKER = re.compile(rf"\b({'|'.join(map(re.escape, MAKERS))})\b", re.IGNORECASE | re.ASCII)


def device_of(waveform: Waveform) -> str:
    """Return the maker of the cart, or the format of the file that names none of `MAKERS`."""
    told = _MAKER.search(waveform.metadata.device)
    return _BY_WORDS[told[0].casefold()] if told else waveform.source


def count_answer(answer: Answer) -> None:
    """Count an answer: how near its nearest report is, and what its signal was warned of."""
    if answer.hits:
        near = (hit.report_similarity for hit in answer.hits)
        SIMILARITY.observe(max((one for one in near if one is not None), default=0.0))
    for code in {warning.code for warning in answer.quality.warnings} if answer.quality else ():
        WARNINGS.labels(code).inc()


def count_refusal(device: str, error: CardexError) -> None:
    """Count an ECG that was refused."""
    REFUSALS.labels(device, error.reason).inc()
