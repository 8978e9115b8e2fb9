"""How far the signal of an ECG can be trusted."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SignalWarning:
    """One reason to doubt the signal, or to know what was done to it.

    Attributes:
        code: stable code, such as LEAD_OFF; docs/signals.md lists them all.
        message: the reason in words.
        leads: the leads concerned; empty if the whole record is.
    """

    code: str
    message: str
    leads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SignalQuality:
    """The quality of the signal of one record.

    Attributes:
        index: 0 (no lead is of use) to 1 (every beat of every lead looks like the others).
        heart_rate_bpm: mean ventricular rate in beats a minute; None if fewer than two beats were
            found.
        warnings: those about leads first, then those about the record.
    """

    index: float
    heart_rate_bpm: float | None = None
    warnings: tuple[SignalWarning, ...] = ()
