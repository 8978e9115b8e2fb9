"""Calibration pulses, 1 mV steps that a cart writes into all leads: found and left out."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import LEADS, Signal, Waveform
from cardex.signals.cleaning import seconds_to_samples

PULSE_MV = 1.0
TOLERANCE_MV = 0.25
"""How far the step of a lead may be from 1 mV: carts filter it, and the ECG may be beside it."""
EDGE_S = 0.04
"""Time within which all leads rise or fall: a step filtered to 40 Hz takes 25 ms."""
RIPPLE_MV = 0.2
"""Range of each lead at the top of a pulse, with noise and the ringing of filters."""
SHORTEST_S, LONGEST_S = 0.08, 0.45
"""Lengths of a pulse: carts write 100, 200 or 400 ms."""
LEVEL_MV = 0.1
LEVEL_S = 1.0
"""Beside a pulse, up to this long, samples within `LEVEL_MV` of one level belong to the pulse."""

# Only these leads are looked at. Every record has them as they were recorded, whereas III, aVR, aVL
# and aVF may have been computed: of 1 mV in I and II come 0 mV, -1 mV and twice 0.5 mV.
_RECORDED = np.array([LEADS.index(lead) for lead in ("I", "II", *LEADS[6:])])[:, None]
_MEAN = np.zeros(len(LEADS), dtype=np.float32)
_MEAN[_RECORDED] = 1.0 / len(_RECORDED)

Places = NDArray[np.int64]


def leave_out_pulses(waveform: Waveform) -> Waveform:
    """Return the longest part of a record without calibration pulses, with a note of them.

    Args:
        waveform: a record with finite samples.

    Returns:
        The same object where it has no pulse. Otherwise the part, with `pulses` and `start` in
        seconds of the record that was passed in; it may be of any length, even empty.
    """
    pulses = find_pulses(waveform.signal, waveform.rate)
    if not pulses:
        return waveform
    first, after = _longest_part(waveform.signal, waveform.rate, pulses)
    return replace(
        waveform,
        signal=np.ascontiguousarray(waveform.signal[:, first:after]),
        pulses=tuple((begin / waveform.rate, end / waveform.rate) for begin, end in pulses),
        start=first / waveform.rate,
    )


def find_pulses(signal: Signal, rate: float) -> list[tuple[int, int]]:
    """Find the calibration pulses of a record.

    A pulse is a rise of about 1 mV and a fall of about 1 mV, each on all recorded leads at the same
    samples, with a flat top of 80 to 450 ms between them. If the record begins or ends within a
    pulse, that has one edge only. QRS complexes differ between eight leads and have no flat top.

    Args:
        signal: (12, samples) float32, mV, finite.
        rate: Hz.

    Returns:
        (begin, end) of each pulse in samples, the middle of its edges, in ascending order.
    """
    span = max(2, seconds_to_samples(EDGE_S, rate))
    mean = _MEAN @ signal  # (samples,): the mean lead alone rules out almost all places
    steps = mean[span:] - mean[:-span]
    likely = np.flatnonzero(np.abs(np.abs(steps) - PULSE_MV) <= TOLERANCE_MV)
    if not likely.size:
        return []
    steps = signal[_RECORDED, likely + span] - signal[_RECORDED, likely]  # (8, likely)
    rises, falls = (
        _middles(likely[(np.abs(steps - height) <= TOLERANCE_MV).all(axis=0)], span)
        for height in (PULSE_MV, -PULSE_MV)
    )
    return _between(rises, falls, signal, rate)


def _middles(places: Places, span: int) -> list[int]:
    """Return the middle of each edge, given all places from which the leads step within `span`."""
    if not places.size:
        return []
    edges = np.split(places, np.flatnonzero(np.diff(places) > span) + 1)
    return [int(edge[0] + edge[-1] + span + 1) // 2 for edge in edges]


def _between(
    rises: list[int], falls: list[int], signal: Signal, rate: float
) -> list[tuple[int, int]]:
    """Return (rise, next fall) wherever the top between them is as long and flat as a pulse.

    The ends of the record count as a rise and a fall, from which a pulse may be shorter.
    """
    samples = signal.shape[1]
    at_start = rises and rises[0] <= seconds_to_samples(EDGE_S, rate)
    found = []
    for begin in rises if at_start else [0, *rises]:
        end = next((fall for fall in falls if fall > begin), samples)
        whole = begin > 0 and end < samples
        shortest = seconds_to_samples(SHORTEST_S if whole else EDGE_S, rate)
        longest = seconds_to_samples(LONGEST_S, rate)
        if shortest <= end - begin <= longest and _is_flat(signal, rate, begin, end):
            found.append((begin, end))
    return found


def _is_flat(signal: Signal, rate: float, begin: int, end: int) -> bool:
    """Tell whether each recorded lead keeps its level from the end of an edge to the next edge."""
    half = seconds_to_samples(EDGE_S / 2, rate)
    top = signal[_RECORDED, np.arange(begin + half, end - half)]  # (8, samples)
    return top.shape[1] > 0 and bool(np.ptp(top, axis=1).max() <= RIPPLE_MV)


def _longest_part(signal: Signal, rate: float, pulses: list[tuple[int, int]]) -> tuple[int, int]:
    """Return where the longest part without pulses, and what is beside them, begins and ends."""
    bounds = [0]
    for begin, end in pulses:
        bounds += [
            begin - _beside(signal[:, :begin][:, ::-1], rate),
            end + _beside(signal[:, end:], rate),
        ]
    bounds.append(signal.shape[1])
    parts = zip(bounds[::2], bounds[1::2], strict=True)
    first, after = max(parts, key=lambda part: part[1] - part[0])
    return first, max(first, after)


def _beside(signal: Signal, rate: float) -> int:
    """Return how many samples from the middle of an edge on are edge or level, and so no ECG.

    Args:
        signal: (12, samples) from the edge on, and so back in time before a rise.
        rate: Hz.
    """
    edge = seconds_to_samples(EDGE_S, rate)
    near = signal[_RECORDED[:, 0], edge // 2 : edge // 2 + seconds_to_samples(LEVEL_S, rate)]
    if not near.size:
        return int(signal.shape[1])
    level = np.median(near[:, :edge], axis=1, keepdims=True)
    away = (np.abs(near - level) > LEVEL_MV).any(axis=0)
    return edge // 2 + int(away.argmax() if away.any() else away.size)
