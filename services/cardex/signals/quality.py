"""How far a record can be trusted: doubts for the answer, and the refusal of a record that has no use."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import LEADS, Signal, Waveform
from cardex.domain.errors import InvalidEcg
from cardex.domain.quality import SignalQuality, SignalWarning
from cardex.signals.beats import Beats, beat_windows, find_beats, median
from cardex.signals.cleaning import seconds_to_samples
from cardex.signals.leads import einthoven_residual

Flags = NDArray[np.bool_]

OFF_MV = 0.001
"""An amplifier without a signal still moves by its last digit, but by no more than that."""
FLAT_MV = 0.03
"""A lead whose whole range is below this carries no ECG: a P wave alone is about 0.1 mV."""
STILL_S = 0.25
"""Three such stretches of one value in a row are a gap: found at 1 s for certain, never under 0.75 s."""
SATURATED_SHARE = 0.02
"""Share of samples that lie three in a row at the very top or bottom, from which a lead is clipped."""
RATE_HZ = 100.0
"""Rate of the cleaned signal that is judged, whatever the model's is."""
NOISY = 0.05
"""Noise within 0.5-40 Hz over the lead's own range; 99 % of PTB-XL's leads are under it."""
LOW_VOLTAGE_MV = 0.3
"""A smaller range counts as this one: the usual noise of a lead of low voltage is no fault."""
DROWNED = 0.1
"""Noise level from which a lead is of no use; 99.9 % of PTB-XL's leads are under it."""
DRIFT_MV = 1.5
"""Three large squares of grid paper: the baseline leaves the band of its lead."""
MAINS_MV = 0.05
MAINS_BLOCK_S = 5.0
"""Long enough to tell 50 Hz from the ECG, short enough for mains that is 0.1 Hz off."""
INCONSISTENT_MV = 0.02
INCONSISTENT_SHARE = 0.1
EXTREME_MV = 10.0
LOW_RATE_HZ = 100.0
LOW_INDEX = 0.5
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


def assess(waveform: Waveform, cleaned: Signal, window_s: float) -> SignalQuality:
    """Judge one record.

    Args:
        waveform: as it was read.
        cleaned: (12, samples) float32, mV: `clean(waveform, RATE_HZ)`.
        window_s: seconds of the record that the model looks at.

    Raises:
        InvalidEcg: NO_USABLE_LEAD, with what is wrong with how many leads.
    """
    levels = _measure(waveform, cleaned)
    if not levels.usable.any():
        raise _unusable(levels)
    beats = find_beats(cleaned, RATE_HZ)
    cut = beat_windows(cleaned, beats, seconds_to_samples(BEAT_S, RATE_HZ))  # (12, B, n)
    usual = median(cut) if cut.shape[1] else None
    index = 0.0 if usual is None else _index(cut, usual, levels)
    warnings = [
        *_about_leads(levels),
        *_about_placement(cleaned, usual, levels),
        *_about_rhythm(beats, index),
        *_about_record(waveform, window_s),
    ]
    rhythm = beats.bpm
    return SignalQuality(
        index=round(index, 3),
        heart_rate_bpm=None if rhythm is None else round(rhythm, 1),
        warnings=tuple(warnings),
    )


def _measure(waveform: Waveform, cleaned: Signal) -> _Levels:
    signal, rate = waveform.signal, waveform.rate
    top, bottom = signal.max(axis=1, keepdims=True), signal.min(axis=1, keepdims=True)
    seconds = _blocks(signal, seconds_to_samples(1.0, rate))  # (12, blocks, samples)
    return _Levels(
        span=(top - bottom)[:, 0],
        gap=_gap(_blocks(signal, seconds_to_samples(STILL_S, rate))),
        saturated=np.maximum(_share(signal == top), _share(signal == bottom)) > SATURATED_SHARE,
        noise=_noise(cleaned),
        drift=np.ptp(seconds.mean(axis=-1), axis=1),
        mains=_mains(signal, rate),
    )


def _share(at_limit: Flags) -> NDArray[np.float64]:
    """Return the share of (leads, samples) that stand there three in a row."""
    rows = at_limit[:, 2:] & at_limit[:, 1:-1] & at_limit[:, :-2]
    share: NDArray[np.float64] = np.count_nonzero(rows, axis=1) / at_limit.shape[1]
    return share


def _gap(stretches: Signal) -> Flags:
    """Tell which leads of (leads, stretches, samples) keep one value over three stretches."""
    first = stretches[..., 0]
    still = (stretches == first[..., None]).all(axis=-1)
    same = first[:, 1:] == first[:, :-1]
    both = still[:, 1:] & still[:, :-1] & same
    return np.asarray((both[:, 1:] & both[:, :-1]).any(axis=1))


def _blocks(signal: Signal, samples: int) -> Signal:
    """Cut (leads, n) into whole blocks: (leads, blocks, samples), the rest left out."""
    count = signal.shape[1] // samples
    return signal[:, : count * samples].reshape(signal.shape[0], count, samples)


def _noise(cleaned: Signal) -> Signal:
    """Return each lead's noise level over its range, without the QRS complexes.

    White noise of deviation s within 0-40 Hz has second differences of deviation 1.94 s at 100 Hz (the
    mean of (2 - 2 cos w)^2 over the band is 3.75); an ECG is smooth at 10 ms but for its QRS, which the
    median passes over. 0.6745 makes a median a deviation.
    """
    # Every third tells as much; and sorting, which has no branches, is faster than a median.
    turns = np.sort(np.abs(np.diff(cleaned, n=2, axis=1))[:, ::3], axis=1)
    level = turns[:, turns.shape[1] // 2] / np.float32(0.6745 * 1.94)
    ordered = np.sort(cleaned[:, ::3], axis=1)
    edge = ordered.shape[1] // 100
    span = ordered[:, -1 - edge] - ordered[:, edge]  # 98 % of the samples lie within
    relative: Signal = level / np.maximum(span, np.float32(LOW_VOLTAGE_MV))
    return relative


def _mains(signal: Signal, rate: float) -> Signal:
    """Return each lead's amplitude at 50 or 60 Hz, mV, less what its neighbours at 3 Hz have.

    A rate that cannot show the neighbours (110 Hz for 50 Hz, 130 Hz for 60 Hz) shows no mains.
    """
    mains = [hertz for hertz in (50.0, 60.0) if hertz + 5.0 < rate / 2]
    if not mains:
        return np.zeros(signal.shape[0], dtype=np.float32)
    hertz = tuple(near + shift for near in mains for shift in (-3.0, 0.0, 3.0))
    samples = min(signal.shape[1], seconds_to_samples(MAINS_BLOCK_S, rate))
    parts = _blocks(signal, samples) @ _waves(samples, rate, hertz)  # (12, blocks, 2 x frequencies)
    power = (parts * parts).mean(axis=1)
    amplitude = np.sqrt(sum(np.split(power, 2, axis=1))).reshape(-1, len(mains), 3)
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
        ("LEAD_GAP", "stands still for a while: contact lost?", levels.gap & ~flat),
        ("LEAD_SATURATED", "clipped at the amplifier's limit", levels.saturated & ~flat),
        ("LEAD_NOISY", "noisy", (levels.noise >= NOISY) & ~flat),
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
    if levels.flat[:2].any():
        return ()
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
    return ("I", "II", *(lead for lead, hit in zip(LEADS[2:6], wrong, strict=True) if hit))


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


def _about_rhythm(beats: Beats, index: float) -> list[SignalWarning]:
    if beats.bpm is None:
        return [SignalWarning("NO_QRS", "fewer than two QRS complexes found: is it an ECG?")]
    found = []
    low, high = RATES_BPM
    if not low <= beats.bpm <= high:
        message = f"{beats.bpm:.0f} beats a minute: is it an ECG?"
        found.append(SignalWarning("HEART_RATE", message))
    if index < LOW_INDEX:
        message = f"quality index {index:.2f}: little of the record is of use"
        found.append(SignalWarning("LOW_QUALITY", message))
    return found


def _about_record(waveform: Waveform, window_s: float) -> list[SignalWarning]:
    found = []
    missing = window_s - waveform.seconds
    if missing > 0.5 / RATE_HZ:
        message = f"{waveform.seconds:.4g} s of the {window_s:g} s that the model looks at"
        found.append(SignalWarning("SHORT_RECORD", message))
    if waveform.rate < LOW_RATE_HZ:
        message = f"sampled at {waveform.rate:g} Hz: fine detail is missing"
        found.append(SignalWarning("LOW_RATE", message))
    if waveform.pulses:
        found.append(_about_pulses(waveform))
    return found


def _about_pulses(waveform: Waveform) -> SignalWarning:
    places = ", ".join(f"{begin:.2f} to {end:.2f} s" for begin, end in waveform.pulses)
    end = waveform.start + waveform.seconds
    message = (
        f"calibration pulse at {places} left out: only {waveform.start:.2f} to {end:.2f} s of the"
        " record are used"
    )
    return SignalWarning("CALIBRATION_PULSE", message)


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
