"""Packs ten seconds of an ECG into at most 16 KB, and unpacks them again."""

import zlib
from itertools import product

import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import LEADS, Signal, Waveform
from cardex.domain.errors import InvalidEcg
from cardex.domain.trace import MAX_TRACE_BYTES, TRACE_RATE_HZ, TRACE_S, Trace
from cardex.signals.beats import find_beats
from cardex.signals.cleaning import MONITORING, Filter, clean, seconds_to_samples
from cardex.signals.windows import best_start

UNFILTERED = Filter(band_hz=(0.0, 0.0))
RATES_HZ = (TRACE_RATE_HZ, 100.0)
RESOLUTIONS_MV = (0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 5.0)
"""What is tried in turn until the trace is small enough; 5 uV are a twentieth of a millimetre."""
OWN = tuple(LEADS.index(name) for name in ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6"))
DERIVED = tuple(LEADS.index(name) for name in ("III", "aVR", "aVL", "aVF"))

Steps = NDArray[np.int32]


def trace_of(waveform: Waveform) -> Trace:
    """Return the trace of the ten seconds that have the fewest artefacts, as they were recorded.

    Each lead's median is taken off, and nothing is filtered. It is resampled to 250 Hz where the
    recording has more, and to 100 Hz where it would be too large; where that does not do, its steps
    get coarser, which only noise needs.
    """
    cleaned = clean(waveform, RATES_HZ[-1], MONITORING)
    start = best_start(cleaned, seconds_to_samples(TRACE_S, RATES_HZ[-1]), RATES_HZ[-1])
    peaks = find_beats(cleaned, RATES_HZ[-1]).peaks / RATES_HZ[-1]  # seconds
    begin = start / RATES_HZ[-1]
    signals: dict[float, Signal] = {}
    for rate, resolution in product(_rates(waveform.rate), RESOLUTIONS_MV):
        if resolution > RESOLUTIONS_MV[1] and rate > RATES_HZ[-1]:
            continue  # fewer samples are a smaller loss than coarse ones
        if rate not in signals:
            signals[rate] = _cut(_resampled(waveform, rate), begin, rate)
        packed = pack(_steps(signals[rate], resolution))
        if len(packed) <= MAX_TRACE_BYTES:
            break
    samples = signals[rate].shape[1]
    inside = [round((peak - begin) * rate) for peak in peaks.tolist()]
    return Trace(
        rate=rate,
        resolution=resolution,
        samples=samples,
        packed=packed,
        r_peaks=tuple(peak for peak in inside if 0 <= peak < samples),
        start=begin + waveform.start,
    )


def waveform_of(trace: Trace) -> Waveform:
    """Return what a trace holds, as a recording that can be cleaned and drawn.

    Raises:
        InvalidEcg: if the trace cannot be unpacked.
    """
    steps = unpack(trace.packed, trace.samples)
    return Waveform(steps * np.float32(trace.resolution), trace.rate, "trace", start=trace.start)


def pack(steps: Steps) -> bytes:
    """Pack (12, samples) steps; the contract's `Trace.packed` says how."""
    told = _told(steps)
    ordered = np.concatenate([steps[list(OWN)], steps[list(DERIVED)] - told])
    changes = np.diff(ordered, axis=-1, prepend=np.int32(0)).astype(np.int16)
    return zlib.compress(changes.astype("<i2").view(np.uint8).reshape(-1, 2).T.tobytes(), 6)


def unpack(packed: bytes, samples: int) -> Steps:
    """Return the (12, samples) steps that were packed.

    Raises:
        InvalidEcg: if the bytes are no packed steps of so many samples.
    """
    size = 2 * len(LEADS) * samples
    try:
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(packed, size + 1)
    except zlib.error as error:
        raise _damaged() from error
    if len(content) != size or not unpacker.eof:
        raise _damaged()
    halves = np.frombuffer(content, dtype=np.uint8).reshape(2, -1)
    changes = np.ascontiguousarray(halves.T).view("<i2").reshape(len(LEADS), samples)
    # The differences of int16 wrap, and so does their sum.
    ordered = np.cumsum(changes, axis=-1, dtype=np.int16).astype(np.int32)
    steps = np.empty_like(ordered)
    steps[list(OWN)] = ordered[: len(OWN)]
    wrapped = ordered[len(OWN) :] + _told(steps)
    steps[list(DERIVED)] = wrapped.astype(np.int16)
    return steps


def _told(steps: Steps) -> Steps:
    """Return what I and II tell of III, aVR, aVL and aVF (Einthoven, Goldberger), rounded down."""
    one, two = steps[LEADS.index("I")], steps[LEADS.index("II")]
    return np.stack([two - one, -((one + two) // 2), one - two // 2, two - one // 2])


def _steps(signal: Signal, resolution: float) -> Steps:
    limit = float(np.iinfo(np.int16).max)
    steps: Steps = np.clip(np.rint(signal / resolution), -limit, limit).astype(np.int32)
    return steps


def _rates(own: float) -> tuple[float, ...]:
    """Return the rates that are tried; a trace has no more samples than its recording."""
    return tuple(dict.fromkeys(min(rate, own) for rate in RATES_HZ))


def _resampled(waveform: Waveform, rate: float) -> Signal:
    signal = waveform.signal if rate == waveform.rate else clean(waveform, rate, UNFILTERED)
    level: Signal = signal - np.median(signal, axis=-1, keepdims=True)
    return level


def _cut(signal: Signal, begin: float, rate: float) -> Signal:
    first = seconds_to_samples(begin, rate)
    return signal[:, first : first + seconds_to_samples(TRACE_S, rate)]


def _damaged() -> InvalidEcg:
    return InvalidEcg("the trace of this case is damaged: file the case again", reason="TRACE")
