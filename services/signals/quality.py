"""Doubts about a waveform that do not refuse it: they go into the answer as warnings."""

import numpy as np
from numpy.typing import NDArray

from services.domain.ecg import LEADS, Waveform
from services.domain.jobs import SignalWarning

FLAT_MV = 0.03
"""A lead whose whole range is below this carries no ECG: a P wave alone is about 0.1 mV."""
SATURATED_SHARE = 0.02
"""Share of samples at the very top or bottom of the range from which a lead counts as clipped."""
NOISE_RATIO = 0.1
"""Noise level over the lead's own range; 99 % of PTB-XL's leads are under 0.05."""
EINTHOVEN_MV = 0.15
"""Root mean square of I + III - II from which the limb leads contradict each other."""
LOW_RATE_HZ = 100.0


def assess(waveform: Waveform, window_s: float) -> tuple[SignalWarning, ...]:
    """Return the warnings of one record, worst first; `window_s` is what the model looks at."""
    signal = waveform.signal
    flat = np.ptp(signal, axis=1) < FLAT_MV
    warnings = [
        _leads("LEAD_FLAT", "no signal: electrode off?", flat),
        _leads("LEAD_SATURATED", "clipped at the amplifier's limit", _saturated(signal) & ~flat),
        _leads("LEAD_NOISY", "mostly noise", _noisy(waveform) & ~flat),
    ]
    limb_error = float(np.sqrt(np.mean((signal[0] + signal[2] - signal[1]) ** 2)))
    if limb_error > EINTHOVEN_MV:
        warnings.append(
            SignalWarning(
                "LEADS_INCONSISTENT",
                f"I + III differs from II by {limb_error:.2f} mV: electrodes swapped?",
                ("I", "II", "III"),
            )
        )
    if waveform.seconds < window_s:
        message = f"{waveform.seconds:.1f} s of the {window_s:g} s that the model looks at"
        warnings.append(SignalWarning("SHORT_RECORD", message))
    if waveform.rate < LOW_RATE_HZ:
        warnings.append(
            SignalWarning("LOW_RATE", f"sampled at {waveform.rate:g} Hz: fine detail is missing")
        )
    return tuple(warning for warning in warnings if warning is not None)


def _leads(code: str, message: str, which: NDArray[np.bool_]) -> SignalWarning | None:
    named = tuple(lead for lead, hit in zip(LEADS, which, strict=True) if hit)
    return SignalWarning(code, message, named) if named else None


def _saturated(signal: NDArray[np.float32]) -> NDArray[np.bool_]:
    top = (signal == signal.max(axis=1, keepdims=True)).mean(axis=1)
    bottom = (signal == signal.min(axis=1, keepdims=True)).mean(axis=1)
    clipped: NDArray[np.bool_] = np.maximum(top, bottom) > SATURATED_SHARE
    return clipped


def _noisy(waveform: Waveform) -> NDArray[np.bool_]:
    step = max(1, round(waveform.rate / 100.0))
    coarse = waveform.signal[:, ::step]
    # White noise of deviation s has second differences of deviation s * sqrt(6); an ECG is smooth at
    # 10 ms but for its QRS, which the median passes over. 0.6745 makes a median a deviation.
    turns = np.median(np.abs(np.diff(coarse, n=2, axis=1)), axis=1)
    low, high = np.percentile(coarse, [1.0, 99.0], axis=1)
    noisy: NDArray[np.bool_] = turns / (0.6745 * 6**0.5) > NOISE_RATIO * np.maximum(
        high - low, 1e-3
    )
    return noisy
