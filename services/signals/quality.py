"""How far a record can be trusted: doubts for the answer, and the refusal of a record that has no use."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from services.domain.ecg import LEADS, Signal, Waveform
from services.domain.errors import InvalidEcg
from services.domain.quality import SignalQuality, SignalWarning
from services.signals.beats import Beats, beat_windows, find_beats, median
from services.signals.cleaning import seconds_to_samples
from services.signals.leads import einthoven_residual

Flags = NDArray[np.bool_]

OFF_MV = 0.001
"""An amplifier without a signal still moves by its last digit, but by no more than that."""
FLAT_MV = 0.03
"""A lead whose whole range is below this carries no ECG: a P wave alone is about 0.1 mV."""
GAP_S = 1.0
SATURATED_SHARE = 0.02
"""Share of samples at the very top or bottom of the range from which a lead counts as clipped."""
NOISY = 0.05
"""Noise level over the lead's own range; 99 % of PTB-XL's leads are under it."""
LOW_VOLTAGE_MV = 0.3
"""A smaller range counts as this one: the usual noise of a lead of low voltage is no fault."""
DROWNED = 0.1
"""Noise level from which a lead is of no use; 99.9 % of PTB-XL's leads are under it."""
DRIFT_MV = 1.5
"""Three large squares of grid paper: the baseline leaves the band of its lead."""
MAINS_MV = 0.05
INCONSISTENT_MV = 0.02
INCONSISTENT_SHARE = 0.1
EXTREME_MV = 10.0
LOW_RATE_HZ = 100.0
REVERSED = -0.5
"""Correlation of I with V6 from which the arms count as swapped, if I and aVR agree."""
RATES_BPM = (25.0, 220.0)
BEAT_S = 0.7


@dataclass(frozen=True, slots=True)
class _Levels:
    """What was measured on each lead: (12,) arrays; `noise` is relative to the lead's range."""

    span: Signal
    gap: Flags
    saturated: Flags
    noise: Signal
    drift: Signal
    mains: Signal

    @property
    def off(self) -> Flags:
        return self.span < OFF_MV

    @property
    def flat(self) -> Flags:
        return self.span < FLAT_MV

    @property
    def usable(self) -> Flags:
        return ~self.flat & (self.noise < DROWNED)


def assess(waveform: Waveform, cleaned: Signal, rate: float, window_s: float) -> SignalQuality:
    """Judge one record.

    Args:
        waveform: as it was read.
        cleaned: (12, samples) float32, mV, the same record at `rate`, 0.5-40 Hz.
        rate: the model's rate, Hz.
        window_s: seconds of the record that the model looks at.

    Raises:
        InvalidEcg: NO_USABLE_LEAD, with what is wrong with how many leads.
    """
    levels = _measure(waveform)
    if not levels.usable.any():
        raise _unusable(levels)
    beats = find_beats(cleaned, rate)
    cut = beat_windows(cleaned, beats, seconds_to_samples(BEAT_S, rate))  # (12, B, n)
    usual = median(cut) if cut.shape[1] else None
    warnings = [
        *_about_leads(levels),
        *_about_placement(cleaned, usual, levels),
        *_about_rhythm(beats),
        *_about_record(waveform, window_s),
    ]
    rhythm = beats.bpm
    return SignalQuality(
        index=0.0 if usual is None else round(_index(cut, usual, levels), 3),
        heart_rate_bpm=None if rhythm is None else round(rhythm, 1),
        warnings=tuple(warnings),
    )


def _measure(waveform: Waveform) -> _Levels:
    signal, rate = waveform.signal, waveform.rate
    top, bottom = signal.max(axis=1), signal.min(axis=1)
    at_limit = np.maximum(
        np.count_nonzero(signal == top[:, None], axis=1),
        np.count_nonzero(signal == bottom[:, None], axis=1),
    )
    seconds = _blocks(signal, seconds_to_samples(GAP_S, rate))  # (12, blocks, samples)
    still = (seconds == seconds[..., :1]).all(axis=-1).any(axis=-1)
    return _Levels(
        span=top - bottom,
        gap=still,
        saturated=at_limit > SATURATED_SHARE * signal.shape[1],
        noise=_noise(signal, rate),
        drift=np.ptp(seconds.mean(axis=-1), axis=1),
        mains=_mains(signal, rate),
    )


def _blocks(signal: Signal, samples: int) -> Signal:
    """Cut (leads, n) into whole blocks: (leads, blocks, samples), the rest left out."""
    count = signal.shape[1] // samples
    return signal[:, : count * samples].reshape(signal.shape[0], count, samples)


def _noise(signal: Signal, rate: float) -> Signal:
    """Return each lead's noise level over its range, without the QRS complexes.

    White noise of deviation s has second differences of deviation s * sqrt(6); an ECG is smooth at
    10 ms but for its QRS, which the median passes over. 0.6745 makes a median a deviation.
    """
    coarse = signal[:, :: max(1, round(rate / 100.0))]
    # Every third tells as much; and sorting, which has no branches, is faster than a median.
    turns = np.sort(np.abs(np.diff(coarse, n=2, axis=1))[:, ::3], axis=1)
    level = turns[:, turns.shape[1] // 2] / np.float32(0.6745 * 6**0.5)
    ordered = np.sort(coarse[:, ::3], axis=1)
    edge = ordered.shape[1] // 100
    span = ordered[:, -1 - edge] - ordered[:, edge]  # 98 % of the samples lie within
    relative: Signal = level / np.maximum(span, np.float32(LOW_VOLTAGE_MV))
    return relative


def _mains(signal: Signal, rate: float) -> Signal:
    """Return each lead's amplitude at 50 or 60 Hz, mV, less what its neighbours at 3 Hz have."""
    mains = [hertz for hertz in (50.0, 60.0) if hertz + 5.0 < rate / 2]
    if not mains:
        return np.zeros(signal.shape[0], dtype=np.float32)
    hertz = tuple(near + shift for near in mains for shift in (-3.0, 0.0, 3.0))
    parts = signal @ _waves(signal.shape[1], rate, hertz)  # (12, 2 x frequencies)
    amplitude = np.hypot(*np.split(parts, 2, axis=1)).reshape(-1, len(mains), 3)
    above = amplitude[..., 1] - amplitude[..., ::2].mean(axis=-1)
    strongest: Signal = above.max(axis=1)
    return strongest


@lru_cache(maxsize=8)
def _waves(samples: int, rate: float, hertz: tuple[float, ...]) -> Signal:
    """Return windowed cosines and sines whose product with a signal is its amplitude there."""
    phase = 2.0 * np.pi * np.outer(np.arange(samples) / rate, hertz)
    window = np.hanning(samples)[:, None] * 4.0 / samples
    return np.hstack((window * np.cos(phase), window * np.sin(phase))).astype(np.float32)


def _about_leads(levels: _Levels) -> list[SignalWarning]:
    flat, off, hum = levels.flat, levels.off, levels.mains > MAINS_MV
    doubts = (
        ("LEAD_OFF", "no signal at all: electrode off?", off),
        ("LEAD_FLAT", "hardly any signal: poor contact?", flat & ~off),
        ("LEAD_GAP", f"stands still for {GAP_S:g} s or more", levels.gap & ~flat),
        ("LEAD_SATURATED", "clipped at the amplifier's limit", levels.saturated & ~flat),
        ("LEAD_NOISY", "noisy", (levels.noise >= NOISY) & ~flat & ~hum),
        ("BASELINE_DRIFT", "baseline wanders: movement, poor contact?", levels.drift > DRIFT_MV),
        ("MAINS", "mains hum", hum),
        (
            "AMPLITUDE",
            f"over {EXTREME_MV:g} mV: wrong unit, or artefact?",
            levels.span > EXTREME_MV,
        ),
    )
    return [
        SignalWarning(code, message, _named(which))
        for code, message, which in doubts
        if which.any()
    ]


def _about_placement(cleaned: Signal, beat: Signal | None, levels: _Levels) -> list[SignalWarning]:
    """Return doubts about where the electrodes sit."""
    found = []
    if contradicted := _contradictions(cleaned, levels):
        message = f"{contradicted[-1]} is not what the other limb leads say: electrodes swapped?"
        found.append(SignalWarning("LEADS_INCONSISTENT", message, contradicted))
    if beat is not None and _arms_reversed(beat):
        message = "I and aVR upside down: arm electrodes swapped, or dextrocardia?"
        found.append(SignalWarning("ARMS_REVERSED", message, ("I", "aVR", "aVL", "II", "III")))
    return found


def _contradictions(cleaned: Signal, levels: _Levels) -> tuple[str, ...]:
    """Return limb leads that break Einthoven's or Goldberger's equations by more than their noise."""
    residual = einthoven_residual(cleaned)  # of III, aVR, aVL, aVF
    limbs = cleaned[:6]
    noise = float(np.median(levels.noise[:6] * levels.span[:6]))
    level = INCONSISTENT_SHARE * float(np.sqrt(np.mean(limbs * limbs)))
    wrong = residual > max(INCONSISTENT_MV, level, 4.0 * noise)
    wrong &= ~levels.flat[2:6]  # a lead that is off is named as such
    if not wrong.any():
        return ()
    if wrong[0]:
        return ("I", "II", "III")
    return ("I", "II", *_named(np.append([False, False], np.append(wrong, [False] * 6))))


def _arms_reversed(beat: Signal) -> bool:
    """Tell right and left arm swapped: I runs against V6, I is negative and aVR positive."""
    one, right, lateral = (beat[LEADS.index(lead)] for lead in ("I", "aVR", "V6"))
    centred = one - one.mean(), lateral - lateral.mean()
    scale = float(np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum()))
    against = float((centred[0] * centred[1]).sum()) < REVERSED * scale
    return against and _deflection(one) < 0 < _deflection(right)


def _deflection(beat: Signal) -> float:
    """Return the largest deflection from the beat's median, with its sign."""
    level = beat - np.median(beat)
    return float(level[np.abs(level).argmax()])


def _about_rhythm(beats: Beats) -> list[SignalWarning]:
    if beats.bpm is None:
        return [SignalWarning("NO_QRS", f"{len(beats.peaks)} QRS complexes found: is it an ECG?")]
    low, high = RATES_BPM
    if not low <= beats.bpm <= high:
        return [SignalWarning("HEART_RATE", f"{beats.bpm:.0f} beats a minute: is it an ECG?")]
    return []


def _about_record(waveform: Waveform, window_s: float) -> list[SignalWarning]:
    found = []
    if waveform.seconds < window_s:
        message = f"{waveform.seconds:.1f} s of the {window_s:g} s that the model looks at"
        found.append(SignalWarning("SHORT_RECORD", message))
    if waveform.rate < LOW_RATE_HZ:
        message = f"sampled at {waveform.rate:g} Hz: fine detail is missing"
        found.append(SignalWarning("LOW_RATE", message))
    return found


def _index(cut: Signal, usual: Signal, levels: _Levels) -> float:
    """Return the mean over the leads of how much their beats look alike.

    A lead's share is the mean correlation of its beats, (12, B, n), with its median beat (Orphanidou et
    al. 2015, IEEE J. Biomed. Health Inform. 19:832); halved where it is clipped, noisy or has gaps, 0
    where it is of no use.
    """
    centred = cut - cut.mean(axis=-1, keepdims=True)
    template = usual - usual.mean(axis=-1, keepdims=True)  # (12, n)
    product = np.einsum("lbn,ln->lb", centred, template)
    energy = np.einsum("lbn,lbn->lb", centred, centred)
    energy *= np.einsum("ln,ln->l", template, template)[:, None]
    alike = (product / np.sqrt(np.maximum(energy, 1e-12))).mean(axis=1)
    doubtful = levels.saturated | levels.gap | (levels.noise >= NOISY)
    weight = np.where(doubtful, 0.5, 1.0) * levels.usable
    return float((np.clip(alike, 0.0, 1.0) * weight).mean())


def _unusable(levels: _Levels) -> InvalidEcg:
    flat = int(levels.flat.sum())
    reasons = [f"{flat} flat or off"] if flat else []
    if flat < len(LEADS):
        reasons.append(f"{len(LEADS) - flat} nothing but noise")
    return InvalidEcg(
        f"no usable lead ({', '.join(reasons)}): check the electrodes and record again",
        reason="NO_USABLE_LEAD",
        field="ecg",
    )


def _named(which: Flags) -> tuple[str, ...]:
    return tuple(lead for lead, hit in zip(LEADS, which, strict=True) if hit)
