"""The checks that every waveform passes before anything is computed from it."""

import numpy as np

from cardex.domain.ecg import (
    LEADS,
    MAX_RATE_HZ,
    MAX_SECONDS,
    MIN_RATE_HZ,
    MIN_SECONDS,
    Waveform,
)
from cardex.domain.errors import InvalidEcg
from cardex.signals.formats import typed
from cardex.signals.formats.limits import FILE, length

MAX_ABS_MV = 100.0
FLAT_MV = 1e-6


def check(waveform: Waveform) -> None:
    """Check a whole record: its sampling rate, its length and its samples.

    Raises:
        InvalidEcg: SAMPLING_RATE, DURATION, NOT_FINITE, ALL_LEADS_FLAT or AMPLITUDE.
    """
    if not MIN_RATE_HZ <= waveform.rate <= MAX_RATE_HZ:
        raise InvalidEcg(
            f"sampling rate {waveform.rate:g} Hz: must be {MIN_RATE_HZ:g} to {MAX_RATE_HZ:g} Hz",
            reason="SAMPLING_RATE",
            field="ecg.samples.rate_hz" if waveform.source == typed.SOURCE else FILE,
        )
    if not MIN_SECONDS <= waveform.seconds <= MAX_SECONDS:
        raise InvalidEcg(
            f"{length(waveform.seconds)} s long: must be {MIN_SECONDS:g} s to {MAX_SECONDS:g} s",
            reason="DURATION",
            field=_field(waveform),
        )
    _check_samples(waveform)


def check_rest(waveform: Waveform) -> None:
    """Check what is left of a checked record without its calibration pulses.

    Raises:
        InvalidEcg: DURATION if it is too short, which names the first pulse; ALL_LEADS_FLAT if
            nothing but the pulses was not flat.
    """
    if waveform.seconds < MIN_SECONDS:
        raise InvalidEcg(
            f"{length(waveform.seconds)} s of ECG beside the calibration pulse at"
            f" {waveform.pulses[0][0]:.2f} s: must be {MIN_SECONDS:g} s or more",
            reason="DURATION",
            field=_field(waveform),
        )
    _check_samples(waveform)


def _check_samples(waveform: Waveform) -> None:
    field = _field(waveform)
    # Both keep a NaN, so two passes over the samples are enough to find what is not finite.
    low = waveform.signal.min(axis=1).astype(np.float64)
    high = waveform.signal.max(axis=1).astype(np.float64)
    finite = np.isfinite(low) & np.isfinite(high)
    if not finite.all():
        bad = ", ".join(lead for lead, ok in zip(LEADS, finite, strict=True) if not ok)
        raise InvalidEcg(
            f"NaN or infinite samples in lead {bad}: send finite numbers",
            reason="NOT_FINITE",
            field=field,
        )
    if (high - low).max() <= FLAT_MV:
        raise InvalidEcg("all leads are flat", reason="ALL_LEADS_FLAT", field=field)
    mean = waveform.signal.mean(axis=1, dtype=np.float64)
    peak = float(np.maximum(high - mean, mean - low).max())
    if peak > MAX_ABS_MV:
        raise InvalidEcg(
            f"amplitudes up to {peak:.0f} mV are no ECG: is the unit right?",
            reason="AMPLITUDE",
            field=field,
        )


def _field(waveform: Waveform) -> str:
    return typed.FIELD if waveform.source == typed.SOURCE else FILE
