import numpy as np
import pytest

from cardex.domain.ecg import LEADS, Waveform
from cardex.domain.errors import InvalidEcg
from cardex.domain.quality import SignalQuality
from cardex.signals.cleaning import Filter, clean
from cardex.signals.quality import RATE_HZ, assess
from cardex.signals.readers import read
from tests.helpers.ecgs import dicom, ecg

WINDOW_S = 10.0
TIMES = np.arange(5000) / 500.0


@pytest.fixture
def signal():
    """A made-up ECG without a doubt: (12, 5000) at 500 Hz."""
    return ecg()


def quality(waveform: Waveform) -> SignalQuality:
    return assess(waveform, clean(waveform, RATE_HZ), WINDOW_S)


def codes(signal: np.ndarray, rate: float = 500.0) -> dict[str, tuple[str, ...]]:
    return {w.code: w.leads for w in quality(Waveform(signal, rate)).warnings}


def noise(deviation: float, samples: int = 5000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, deviation, samples).astype(np.float32)


def limbs_of(i: np.ndarray, ii: np.ndarray) -> np.ndarray:
    """I, II and the four leads that follow from them: (6, samples)."""
    return np.array([i, ii, ii - i, -(i + ii) / 2, i - ii / 2, ii - i / 2], dtype=np.float32)


def test_a_clean_made_up_ecg_raises_no_doubt(signal):
    assert codes(signal) == {}


def test_a_clean_real_ecg_raises_no_doubt():
    assert quality(read(dicom())).warnings == ()


def test_clean_records_of_ptbxl_raise_no_doubt(ptbxl):
    for folder in ("records100", "records500"):
        (waveform,) = ptbxl(folder, 1)
        assert quality(waveform).warnings == ()


def test_the_heart_rate_is_that_of_the_beats():
    for bpm in (45.0, 66.0, 120.0):
        assert quality(Waveform(ecg(bpm=bpm), 500.0)).heart_rate_bpm == pytest.approx(bpm, rel=0.02)


def test_the_index_falls_with_every_fault(signal):
    clear = quality(Waveform(signal, 500.0)).index
    assert clear > 0.95
    off = signal.copy()
    off[6:9] = 0.0
    assert quality(Waveform(off, 500.0)).index == pytest.approx(clear * 0.75, abs=0.02)
    noisy = signal + np.stack([noise(0.08, seed=lead) for lead in range(12)])
    assert quality(Waveform(noisy, 500.0)).index < 0.7 * clear


def test_a_lead_that_is_off_is_told_from_one_that_is_flat(signal):
    signal[6] = 0.01 * np.sin(np.arange(5000))
    signal[10] = 0.25
    assert codes(signal) == {"LEAD_OFF": ("V5",), "LEAD_FLAT": ("V1",)}


@pytest.mark.parametrize("start", [3.0, 3.01, 3.5, 3.77, 9.0])
def test_a_lead_that_stands_still_for_a_second_has_a_gap(signal, start):
    first = round(500 * start)
    signal[7, first : first + 500] = signal[7, first]
    assert codes(signal) == {"LEAD_GAP": ("V2",)}


def test_a_coarse_converter_is_no_gap_and_no_clipping(ptbxl):
    for waveform in ptbxl("records500", 5):
        coarse = np.rint(waveform.signal / 0.01) * np.float32(0.01)
        found = {w.code for w in quality(Waveform(coarse, 500.0)).warnings}
        assert not found & {"LEAD_GAP", "LEAD_SATURATED"}


@pytest.mark.parametrize("side", ["top", "bottom", "both"])
def test_a_lead_at_its_amplifiers_limit_is_saturated(signal, side):
    low, high = np.percentile(signal[9], [5, 95])
    limits = {"top": (None, high), "bottom": (low, None), "both": (low, high)}[side]
    signal[9] = np.clip(signal[9], *limits)
    assert codes(signal) == {"LEAD_SATURATED": ("V4",)}


def test_a_lead_of_white_noise_is_noisy(signal):
    signal[8] = noise(0.5)
    assert codes(signal) == {"LEAD_NOISY": ("V3",)}


@pytest.mark.parametrize("rate", [50.0, 64.0])
def test_a_low_rate_is_not_taken_for_noise(ptbxl, rate):
    for waveform in ptbxl("records500", 10):
        slow = clean(waveform, rate, Filter(band_hz=(0.0, 0.45 * rate)))
        before = {w.leads for w in quality(waveform).warnings if w.code == "LEAD_NOISY"}
        after = {w.leads for w in quality(Waveform(slow, rate)).warnings if w.code == "LEAD_NOISY"}
        assert after <= before


@pytest.mark.parametrize("rate", [100.0, 250.0, 500.0, 1000.0])
def test_noise_is_told_at_every_rate(rate):
    signal = ecg(rate=rate)
    assert codes(signal, rate) == {}
    signal[8] += noise(0.3, signal.shape[1])
    assert codes(signal, rate) == {"LEAD_NOISY": ("V3",)}


def test_a_wandering_baseline_is_named(signal):
    signal[11] += (1.2 * np.sin(2 * np.pi * 0.2 * TIMES)).astype(np.float32)
    assert codes(signal) == {"BASELINE_DRIFT": ("V6",)}


@pytest.mark.parametrize("hertz", [49.95, 50.0, 60.0])
@pytest.mark.parametrize("phase", [0.0, 0.7, 1.57, 3.0])
def test_mains_hum_is_named_and_spoils_nothing_else(signal, hertz, phase):
    clear = quality(Waveform(signal, 500.0)).index
    signal += (0.2 * np.sin(2 * np.pi * hertz * TIMES + phase)).astype(np.float32)
    assert codes(signal) == {"MAINS": LEADS}
    assert quality(Waveform(signal, 500.0)).index == pytest.approx(clear, abs=0.06)


@pytest.mark.parametrize("hertz", [49.9, 50.0, 50.05, 60.1])
def test_mains_hum_is_named_in_long_records_too(hertz):
    signal = ecg(seconds=120.0)
    times = np.arange(signal.shape[1]) / 500.0
    signal[6] += (0.1 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)
    assert codes(signal) == {"MAINS": ("V1",)}


def test_ten_millivolts_are_an_artefact_or_another_unit(signal):
    signal[7, 2500] += 15.0
    assert codes(signal)["AMPLITUDE"] == ("V2",)


def test_mixed_up_limb_leads_contradict_einthoven(signal):
    signal[[0, 1]] = signal[[1, 0]]
    assert codes(signal)["LEADS_INCONSISTENT"] == ("I", "II", "III")


def test_a_wrong_augmented_lead_is_named(signal):
    signal[5] = -signal[5]
    assert codes(signal)["LEADS_INCONSISTENT"] == ("I", "II", "aVF")


def test_noise_on_the_limb_leads_is_no_contradiction(signal):
    signal[:6] += np.stack([noise(0.03, seed=lead) for lead in range(6)])
    assert "LEADS_INCONSISTENT" not in codes(signal)


def test_a_low_voltage_contradiction_is_seen_too():
    signal = 0.2 * ecg()
    signal[[0, 1]] = signal[[1, 0]]
    assert "LEADS_INCONSISTENT" in codes(signal)


@pytest.mark.parametrize("lead", LEADS[:6])
def test_a_limb_lead_that_is_off_is_no_contradiction(signal, lead):
    signal[LEADS.index(lead)] = 0.0
    assert codes(signal) == {"LEAD_OFF": (lead,)}


def test_swapped_arm_electrodes_are_named(signal):
    i, ii = signal[0].copy(), signal[1].copy()
    signal[:6] = limbs_of(-i, ii - i)
    assert codes(signal) == {"ARMS_REVERSED": ("I", "aVR", "aVL", "II", "III")}


def test_most_swapped_arms_of_real_records_are_found_and_hardly_any_wrongly(ptbxl):
    alarms = found = 0
    records = ptbxl("records100", 150)
    for waveform in records:
        alarms += any(w.code == "ARMS_REVERSED" for w in quality(waveform).warnings)
        signal = waveform.signal.copy()
        signal[:6] = limbs_of(-signal[0], signal[1] - signal[0])
        swapped = quality(Waveform(signal, waveform.rate)).warnings
        found += any(w.code == "ARMS_REVERSED" for w in swapped)
    assert alarms <= 1
    assert found > 0.6 * len(records)


def test_a_record_shorter_than_the_models_window_is_short():
    assert codes(ecg(seconds=9.5)) == {"SHORT_RECORD": ()}


def test_a_record_as_long_as_the_window_is_not_short():
    assert codes(ecg(seconds=WINDOW_S)) == {}


def test_a_rate_under_100_hz_is_low():
    assert "LOW_RATE" in codes(ecg(rate=90.0), 90.0)


def test_a_flat_lead_is_not_called_saturated_or_noisy_too(signal):
    signal[:6] = 0.0
    assert codes(signal) == {"LEAD_OFF": LEADS[:6], "LOW_QUALITY": ()}


def test_the_doubts_about_leads_come_before_those_about_the_record():
    signal = ecg(seconds=5.0)
    signal[11] = 0.0
    assert list(codes(signal)) == ["LEAD_OFF", "SHORT_RECORD"]


def test_a_warning_says_in_words_what_is_wrong():
    (warning,) = quality(Waveform(ecg(seconds=4.0), 500.0)).warnings
    assert warning.message.startswith("4 s of the 10 s")


@pytest.mark.parametrize("deviation", [0.006, 0.01, 0.03])
def test_an_amplifiers_own_noise_has_no_heart_rate(deviation):
    silent = np.stack([noise(deviation, seed=lead) for lead in range(12)])
    try:
        found = quality(Waveform(silent, 500.0))
    except InvalidEcg as error:
        assert error.reason == "NO_USABLE_LEAD"
    else:
        assert found.heart_rate_bpm is None
        assert "NO_QRS" in {w.code for w in found.warnings}


def test_a_racing_heart_is_doubted():
    lead = np.exp(-0.5 * ((np.mod(TIMES, 60.0 / 260.0) - 0.1) / 0.01) ** 2)
    assert "HEART_RATE" in codes(np.tile(lead, (12, 1)).astype(np.float32))


def test_a_sine_is_flagged_as_no_ecg():
    wave = 0.5 * np.sin(2 * np.pi * 0.05 * TIMES)
    assert "NO_QRS" in codes(np.tile(wave, (12, 1)).astype(np.float32))


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (np.zeros_like, "12 flat or off"),
        (lambda signal: noise(0.5, signal.size).reshape(signal.shape), "12 nothing but noise"),
        (
            lambda signal: np.vstack([signal[:6] * 0.001, noise(0.5, 30_000).reshape(6, 5000)]),
            "6 flat or off, 6 nothing but noise",
        ),
    ],
)
def test_a_record_without_a_usable_lead_is_refused_with_what_is_wrong(signal, broken, said):
    with pytest.raises(InvalidEcg, match=said) as caught:
        quality(Waveform(broken(signal).astype(np.float32), 500.0))
    assert caught.value.reason == "NO_USABLE_LEAD"
    assert "record again" in caught.value.message


def test_one_good_lead_is_enough(signal):
    signal[1:] = 0.0
    assert quality(Waveform(signal, 500.0)).index > 0.0


@pytest.mark.parametrize("seconds", [2.5, 3.1, 61.0])
@pytest.mark.parametrize("rate", [50.0, 257.0, 1000.0])
def test_every_length_and_rate_is_judged_alike(seconds, rate):
    found = quality(Waveform(ecg(rate=rate, seconds=seconds), rate))
    assert found.index > 0.9
    assert found.heart_rate_bpm == pytest.approx(66.0, rel=0.03)
