"""The quality of a record: warnings for the answer, and the refusal of a record without any ECG."""

import numpy as np

from cardex.domain.ecg import LEADS, Signal, Waveform
from cardex.domain.errors import InvalidEcg
from cardex.domain.quality import SignalQuality, SignalWarning
from cardex.signals.beats import Beats, beat_windows, find_beats, median
from cardex.signals.cleaning import seconds_to_samples
from cardex.signals.lead_measures import (
    DRIFT_MV,
    EXTREME_MV,
    MAINS_MV,
    NOISY,
    Flags,
    LeadMeasures,
    measure_leads,
)
from cardex.signals.leads import einthoven_residual

RATE_HZ = 100.0
"""Rate of the cleaned signal that is judged, whatever rate the model takes."""
INCONSISTENT_MV = 0.02
INCONSISTENT_SHARE = 0.1
"""Error of Einthoven's or Goldberger's equations that is told: at least so many mV, and at least
this share of the root mean square of the limb leads."""
LOW_RATE_HZ = 100.0
LOW_INDEX = 0.5
REVERSED = -0.5
"""Correlation of I with V6 from which the arms count as swapped, if I and aVR agree."""
RATES_BPM = (25.0, 220.0)
"""Heart rates outside of these are told."""
BEAT_S = 0.7
"""Length of the beats that are compared."""


def assess(waveform: Waveform, cleaned: Signal, window_s: float) -> SignalQuality:
    """Measure the quality of one record.

    Args:
        waveform: as it was read.
        cleaned: (12, samples) float32, mV: `clean(waveform, RATE_HZ)`.
        window_s: seconds of the record that the model looks at.

    Raises:
        InvalidEcg: NO_USABLE_LEAD, which says how many leads are flat and how many are noise.
    """
    measures = measure_leads(waveform, cleaned)
    if not measures.usable.any():
        raise _unusable(measures)
    beats = find_beats(cleaned, RATE_HZ)
    cut = beat_windows(cleaned, beats, seconds_to_samples(BEAT_S, RATE_HZ))  # (12, B, n)
    usual = median(cut) if cut.shape[1] else None
    index = 0.0 if usual is None else _index(cut, usual, measures)
    warnings = [
        *_about_leads(measures),
        *_about_placement(cleaned, usual, measures),
        *_about_rhythm(beats, index),
        *_about_record(waveform, window_s),
    ]
    rhythm = beats.bpm
    return SignalQuality(
        index=round(index, 3),
        heart_rate_bpm=None if rhythm is None else round(rhythm, 1),
        warnings=tuple(warnings),
    )


def _about_leads(measures: LeadMeasures) -> list[SignalWarning]:
    flat, off, hum = measures.flat, measures.off, measures.mains > MAINS_MV
    rules = (
        ("LEAD_OFF", "no signal at all: electrode off?", off),
        ("LEAD_FLAT", "hardly any signal: poor contact?", flat & ~off),
        ("LEAD_GAP", "stands still for a while: contact lost?", measures.gap & ~flat),
        ("LEAD_SATURATED", "clipped at the amplifier's limit", measures.saturated & ~flat),
        ("LEAD_NOISY", "noisy", (measures.noise >= NOISY) & ~flat),
        ("BASELINE_DRIFT", "baseline wanders: movement, poor contact?", measures.drift > DRIFT_MV),
        ("MAINS", "mains hum", hum),
        (
            "AMPLITUDE",
            f"over {EXTREME_MV:g} mV: wrong unit, or artefact?",
            measures.span > EXTREME_MV,
        ),
    )
    return [
        SignalWarning(code, message, _named(which)) for code, message, which in rules if which.any()
    ]


def _about_placement(
    cleaned: Signal, beat: Signal | None, measures: LeadMeasures
) -> list[SignalWarning]:
    """Return warnings about swapped electrodes."""
    found = []
    if contradicted := _contradictions(cleaned, measures):
        message = f"{contradicted[-1]} is not what the other limb leads say: electrodes swapped?"
        found.append(SignalWarning("LEADS_INCONSISTENT", message, contradicted))
    if beat is not None and _arms_reversed(beat):
        message = "I and aVR upside down: arm electrodes swapped, or dextrocardia?"
        found.append(SignalWarning("ARMS_REVERSED", message, ("I", "aVR", "aVL", "II", "III")))
    return found


def _contradictions(cleaned: Signal, measures: LeadMeasures) -> tuple[str, ...]:
    """Return the limb leads of an equation that is broken by more than noise, or ().

    The equations are Einthoven's (III from I and II) and Goldberger's (aVR, aVL and aVF).
    """
    if measures.flat[:2].any():
        return ()
    residual = einthoven_residual(cleaned)  # of III, aVR, aVL, aVF
    limbs = cleaned[:6]
    noise = float(np.median(measures.noise[:6] * measures.span[:6]))
    level = INCONSISTENT_SHARE * float(np.sqrt(np.mean(limbs * limbs)))
    wrong = residual > max(INCONSISTENT_MV, level, 4.0 * noise)
    wrong &= ~measures.flat[2:6]  # a lead that is off is named as such
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


def _index(cut: Signal, usual: Signal, measures: LeadMeasures) -> float:
    """Return the quality index: the mean over the leads of how much their beats look alike.

    A lead's part is the mean correlation of its beats with its median beat (Orphanidou et al. 2015,
    IEEE J. Biomed. Health Inform. 19:832). It is halved if the lead is clipped, noisy or has gaps,
    and 0 if the lead is not usable.

    Args:
        cut: (12, B, n) float32, the beats of each lead.
        usual: (12, n) float32, its median beat.
        measures: of the same leads.
    """
    centred = cut - cut.mean(axis=-1, keepdims=True)
    template = usual - usual.mean(axis=-1, keepdims=True)  # (12, n)
    product = np.einsum("lbn,ln->lb", centred, template)
    energy = np.einsum("lbn,lbn->lb", centred, centred)
    energy *= np.einsum("ln,ln->l", template, template)[:, None]
    alike = (product / np.sqrt(np.maximum(energy, 1e-12))).mean(axis=1)
    doubtful = measures.saturated | measures.gap | (measures.noise >= NOISY)
    weight = np.where(doubtful, 0.5, 1.0) * measures.usable
    return float((np.clip(alike, 0.0, 1.0) * weight).mean())


def _unusable(measures: LeadMeasures) -> InvalidEcg:
    flat = int(measures.flat.sum())
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
