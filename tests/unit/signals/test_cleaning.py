import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, resample_poly, sosfiltfilt

from cardex.domain.ecg import Waveform
from cardex.signals.cleaning import MONITORING, Filter, clean, narrow, seconds_to_samples
from tests.helpers.ecgs import ecg

TARGET = 100.0


def leads(one: np.ndarray) -> np.ndarray:
    return np.tile(one.astype(np.float32), (12, 1))


def sine(hertz: float, rate: float, seconds: float = 10.0) -> np.ndarray:
    times = np.arange(round(rate * seconds)) / rate
    return np.sin(2 * np.pi * hertz * times, dtype=np.float64)


def amplitude(signal: np.ndarray) -> float:
    """Amplitude of a sine, away from the ends."""
    middle = signal[:, signal.shape[1] // 5 : -signal.shape[1] // 5]
    return float(np.sqrt(2 * np.mean(middle**2)))


@pytest.mark.parametrize("rate", [250.0, 500.0, 1000.0])
@pytest.mark.parametrize("mains", [50.0, 60.0])
@pytest.mark.parametrize("target", [100.0, 250.0])
def test_mains_hum_is_removed(rate, mains, target):
    hum = Waveform(leads(sine(mains, rate)), rate)
    # third order, run twice: 36 dB an octave above 40 Hz
    assert amplitude(clean(hum, target)) < {50.0: 0.25, 60.0: 0.1}[mains]


@pytest.mark.parametrize("rate", [100.0, 500.0])
@pytest.mark.parametrize("hertz", [0.05, 0.1, 0.2])
def test_baseline_wander_is_removed(rate, hertz):
    wander = Waveform(leads(sine(hertz, rate, 60.0)), rate)
    assert amplitude(clean(wander, TARGET)) < 0.02


@pytest.mark.parametrize("rate", [100.0, 500.0])
@pytest.mark.parametrize("hertz", [2.0, 10.0, 20.0])
def test_the_waves_of_an_ecg_pass(rate, hertz):
    wave = Waveform(leads(sine(hertz, rate)), rate)
    assert amplitude(clean(wave, TARGET)) == pytest.approx(1.0, abs=0.03)


def test_an_offset_of_the_electrodes_is_removed():
    shifted = Waveform(leads(sine(10.0, 500.0) + 5.0), 500.0)
    assert abs(clean(shifted, TARGET)[:, 200:-200].mean()) < 0.01


@pytest.mark.parametrize("rate", [100.0, 250.0, 360.0, 500.0, 1000.0])
@pytest.mark.parametrize("seconds", [3.0, 5.0, 6.5])
def test_a_qrs_is_not_shifted(rate, seconds):
    times = np.arange(round(10 * rate)) / rate
    qrs = np.exp(-0.5 * ((times - seconds) / 0.015) ** 2)
    cleaned = clean(Waveform(leads(qrs), rate), TARGET)
    assert abs(int(cleaned[0].argmax()) - seconds * TARGET) <= 1


def test_cleaning_gives_float32_at_the_models_rate():
    cleaned = clean(Waveform(leads(sine(5.0, 500.0)), 500.0), TARGET)
    assert cleaned.dtype == np.float32
    assert cleaned.shape == (12, 1000)
    assert cleaned.flags.c_contiguous


def test_the_shortest_record_that_is_read_can_be_cleaned():
    assert clean(Waveform(leads(sine(5.0, 50.0, 2.0)), 50.0), TARGET).shape == (12, 200)


@pytest.mark.parametrize("rate", [60.0, 80.0])
def test_a_rate_that_cannot_hold_the_band_is_refused(rate):
    with pytest.raises(ValueError, match="cannot hold the band"):
        clean(Waveform(leads(sine(5.0, 500.0)), 500.0), rate)


OPEN = Filter(band_hz=(0.0, 0.0))


@given(rate=st.sampled_from([50, 125, 128, 240, 250, 257, 360, 500, 977, 1000, 2000, 4000]))
@settings(max_examples=12, deadline=None, derandomize=True, database=None)
def test_resampling_keeps_the_duration(rate):
    ones = Waveform(np.ones((12, 10 * rate), dtype=np.float32), rate)
    assert clean(ones, TARGET).shape == (12, 1000)


@pytest.mark.parametrize("rate", [60.0, 100.0, 250.0, 499.0, 1000.0])
def test_an_open_filter_only_resamples(rate):
    found = clean(Waveform(leads(sine(5.0, rate)), rate), TARGET, OPEN)
    np.testing.assert_allclose(found[0, 50:-50], sine(5.0, TARGET)[50:-50], atol=0.01)


def test_an_open_filter_at_the_same_rate_changes_nothing():
    signal = ecg(rate=100.0)
    np.testing.assert_allclose(clean(Waveform(signal, 100.0), TARGET, OPEN), signal, atol=1e-5)


def test_a_constant_stays_constant_up_to_the_ends():
    flat = Waveform(np.full((12, 2000), 3.0, dtype=np.float32), 500.0)
    np.testing.assert_allclose(clean(flat, TARGET, OPEN), 3.0, atol=1e-5)


def test_second_order_is_a_high_pass_and_a_low_pass_of_second_order(ptbxl):
    high = butter(2, 0.5, btype="highpass", fs=TARGET, output="sos")
    low = butter(2, 15.0, btype="lowpass", fs=TARGET, output="sos")
    wanted = Filter(band_hz=(0.5, 15.0), order=2)
    for waveform in ptbxl("records100", 4):
        level = sosfiltfilt(high, waveform.signal, axis=-1, padtype="even", padlen=999)
        expected = sosfiltfilt(low, level, axis=-1)[:, 100:-100]
        found = clean(waveform, TARGET, wanted)[:, 100:-100]
        apart = np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2))
        assert apart < 0.05


def test_a_record_that_is_filtered_already_is_narrowed_to_nearly_the_same(ptbxl):
    wanted = Filter(band_hz=(0.5, 15.0), order=2)
    for waveform in ptbxl("records100", 4):
        expected = clean(waveform, TARGET, wanted)[:, 100:-100]
        before = Waveform(clean(waveform, TARGET), TARGET)
        found = narrow(before, TARGET, wanted)[:, 100:-100]
        apart = np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2))
        assert apart < 0.05


def test_what_has_the_wanted_band_stays_as_it_is():
    before = Waveform(clean(Waveform(ecg(), 500.0), TARGET), TARGET)
    np.testing.assert_allclose(narrow(before, TARGET, MONITORING), before.signal, atol=1e-5)


@pytest.mark.parametrize("band", [(0.05, 15.0), (0.0, 15.0), (0.5, 45.0), (0.5, 0.0)])
def test_what_is_filtered_out_cannot_be_brought_back(band):
    with pytest.raises(ValueError, match="band_hz"):
        narrow(Waveform(ecg(rate=TARGET), TARGET), TARGET, Filter(band_hz=band))


def test_at_the_models_rate_cleaning_equals_scipys_zero_phase_filter(ptbxl):
    sections = butter(3, (0.5, 40.0), btype="bandpass", fs=TARGET, output="sos")
    for waveform in ptbxl("records100", 10):
        expected = sosfiltfilt(sections, waveform.signal, axis=-1, padtype="even", padlen=999)
        np.testing.assert_allclose(clean(waveform, TARGET), expected, atol=2e-3)
        middle = slice(100, -100)
        np.testing.assert_allclose(
            clean(waveform, TARGET)[:, middle], expected[:, middle], atol=3e-4
        )


def test_cleaning_is_as_good_as_polyphase_resampling_and_scipys_filter(ptbxl):
    sections = butter(3, (0.5, 40.0), btype="bandpass", fs=TARGET, output="sos")
    for waveform in ptbxl("records500", 10):
        centred = waveform.signal - waveform.signal.mean(axis=1, keepdims=True)
        coarse = resample_poly(centred.astype(np.float64), 1, 5, axis=-1)
        expected = sosfiltfilt(sections, coarse, axis=-1, padtype="even", padlen=999)
        middle = slice(100, -100)
        difference = clean(waveform, TARGET)[:, middle] - expected[:, middle]
        # they differ in how steeply 40 to 50 Hz fall off
        assert np.sqrt((difference**2).mean()) < 0.03 * expected.std()


def test_a_frequency_beyond_the_new_rate_leaves_no_alias():
    whistle = Waveform(leads(sine(90.0, 500.0)), 500.0)
    assert amplitude(clean(whistle, TARGET, OPEN)) < 1e-3


@pytest.mark.parametrize(("rate", "target"), [(500.0, 250.0), (1000.0, 500.0)])
def test_the_notch_takes_out_mains_and_leaves_its_neighbours(rate, target):
    notch = Filter(band_hz=(0.0, 0.0), notch_hz=50.0)
    for hertz, expected in ((50.0, 0.0), (47.0, 1.0), (53.0, 1.0), (10.0, 1.0)):
        wave = Waveform(leads(sine(hertz, rate)), rate)
        assert amplitude(clean(wave, target, notch)) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(
    ("band", "passed"), [((0.5, 0.0), {0.1: 0, 5.0: 1, 90.0: 1}), ((0.0, 40.0), {0.1: 1, 90.0: 0})]
)
def test_one_side_of_the_band_can_be_open(band, passed):
    for hertz, expected in passed.items():
        wave = Waveform(leads(sine(hertz, 500.0, 40.0)), 500.0)
        found = amplitude(clean(wave, 250.0, Filter(band_hz=band)))
        assert found == pytest.approx(expected, abs=0.03)


def test_a_record_that_begins_with_an_r_peak_begins_level():
    signal = ecg(rate=500.0)[:, 200:]  # 0.40 s: the first R peak
    cleaned = clean(Waveform(signal, 500.0), TARGET)
    assert abs(np.median(cleaned[1, 20:60])) < 0.1


def test_the_moving_average_is_a_centred_mean():
    points = Filter(band_hz=(0.0, 0.0), points=5)
    signal = ecg(rate=100.0)
    expected = np.apply_along_axis(np.convolve, 1, signal, np.ones(5) / 5, "same")
    found = clean(Waveform(signal, 100.0), TARGET, points)
    np.testing.assert_allclose(found[:, 5:-5], expected[:, 5:-5], atol=1e-4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"band_hz": (40.0, 0.5)},
        {"band_hz": (-1.0, 40.0)},
        {"notch_hz": -50.0},
        {"notch_hz": float("nan")},
        {"notch_hz": 1e200},
        {"notch_hz": 1e-200},
        {"order": 0},
        {"order": 9},
        {"band_hz": (float("nan"), 40.0)},
        {"band_hz": (0.5, float("inf"))},
        {"band_hz": (1e-9, 40.0)},
        {"points": 10**23 + 1},
        {"points": 4},
        {"points": 0},
    ],
)
def test_a_filter_that_cannot_be_names_its_field(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Filter(**wrong)


def test_a_long_record_is_cleaned_lead_by_lead_with_the_same_result(monkeypatch):
    waveform = Waveform(ecg(seconds=20.0), 500.0)
    whole = clean(waveform, TARGET)
    monkeypatch.setattr("cardex.signals.cleaning.AT_ONCE", 1)
    np.testing.assert_array_equal(clean(waveform, TARGET), whole)


@pytest.mark.parametrize(
    ("seconds", "rate", "samples"), [(10.0, 100.0, 1000), (2.5, 3.0, 8), (0.0, 500.0, 0)]
)
def test_seconds_become_whole_samples(seconds, rate, samples):
    assert seconds_to_samples(seconds, rate) == samples
