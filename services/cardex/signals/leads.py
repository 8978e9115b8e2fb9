"""Putting named leads in order, deriving missing limb leads, and checking them by equations."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import LEADS, Signal
from cardex.domain.errors import InvalidEcg
from cardex.domain.leads import canonical

# Einthoven (III from I and II) and Goldberger (aVR, aVL, aVF from I and II).
_DERIVED: Mapping[str, Callable[[Signal, Signal], Signal]] = {
    "III": lambda i, ii: ii - i,
    "aVR": lambda i, ii: np.float32(-0.5) * (i + ii),
    "aVL": lambda i, ii: i - np.float32(0.5) * ii,
    "aVF": lambda i, ii: ii - np.float32(0.5) * i,
}


def repeated(names: Iterable[str]) -> str:
    """Return the first lead that two of the names stand for, or ""."""
    seen: set[str] = set()
    for lead in map(canonical, names):
        if lead in seen:
            return lead
        if lead is not None:
            seen.add(lead)
    return ""


def refuse_repeated(names: Iterable[str], *, field: str) -> None:
    """Raise LEAD_SET if two of the names stand for one lead; `field` is that of the request."""
    lead = repeated(names)
    if lead:
        raise InvalidEcg(
            f"lead {lead} stands twice: send each lead once", reason="LEAD_SET", field=field
        )


def arrange(by_name: Mapping[str, Signal], *, field: str) -> Signal:
    """Put named leads in canonical order; derive III, aVR, aVL and aVF where they are missing.

    Args:
        by_name: name to (samples,) values; names that are no lead to `canonical` are ignored.
        field: the request field to name in errors.

    Returns:
        (12, samples) float32.

    Raises:
        InvalidEcg: if a lead stands twice, leads are missing that cannot be derived, or their
            lengths differ.
    """
    refuse_repeated(by_name, field=field)
    known: dict[str, Signal] = {}
    for name, values in by_name.items():
        lead = canonical(name)
        if lead is not None:
            known[lead] = values
    missing = [lead for lead in LEADS if lead not in known and lead not in _DERIVED]
    if missing:
        raise InvalidEcg(
            f"missing leads {', '.join(missing)}: need I, II and V1 to V6 at least",
            reason="LEAD_SET",
            field=field,
        )
    lengths = {len(values) for values in known.values()}
    if len(lengths) != 1:
        raise InvalidEcg(
            f"the leads differ in length: {sorted(lengths)} samples", reason="LEAD_SET", field=field
        )
    signal = np.empty((len(LEADS), lengths.pop()), dtype=np.float32)
    for row, lead in enumerate(LEADS):
        if lead in known:
            signal[row] = known[lead]
    for lead, derive in _DERIVED.items():
        if lead not in known:
            signal[LEADS.index(lead)] = derive(signal[0], signal[1])
    return signal


def einthoven_residual(signal: Signal) -> NDArray[np.float32]:
    """Return the error of Einthoven's and Goldberger's equations in the limb leads.

    Args:
        signal: (12, samples) float32, mV, leads in the order of `LEADS`.

    Returns:
        (4,) float32, mV: the RMS of III - (II - I), aVR + (I + II) / 2, aVL - (I - II / 2) and
        aVF - (II - I / 2). All four are near zero if the leads are named correctly.
    """
    i, ii = signal[0], signal[1]
    residual = np.stack(
        [row - derive(i, ii) for row, derive in zip(signal[2:6], _DERIVED.values(), strict=True)]
    )  # (4, samples)
    power: NDArray[np.float64] = np.mean(np.square(residual, dtype=np.float64), axis=1)
    return np.sqrt(power).astype(np.float32)
