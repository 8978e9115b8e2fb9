"""How far the signal of an ECG can be trusted."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SignalWarning:
    """A doubt about the signal.

    Attributes:
        code: stable code.
        message: in words.
        leads: the leads concerned; empty where it concerns the record.
    """

    code: str
    message: str
    leads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SignalQuality:
    """What is known about the signal of one record.

    Attributes:
        index: 0 (no lead is of use) to 1 (every beat of every lead looks like the others).
        heart_rate_bpm: mean ventricular rate; None where fewer than two beats were found.
        warnings: doubts, those about leads first.
    """

    index: float
    heart_rate_bpm: float | None = None
    warnings: tuple[SignalWarning, ...] = ()
