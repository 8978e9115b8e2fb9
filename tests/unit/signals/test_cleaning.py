import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.ecg import Waveform
from services.signals.cleaning import centre_window, clean, resample, seconds_to_samples

TARGET = 100.0


def leads(one: np.ndarray) -> np.ndarray:
    return np.tile(one.astype(np.float32), (12, 1))


def sine(hertz: float, rate: float, seconds: float = 10.0) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


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


@given(rate=st.sampled_from([50, 125, 128, 240, 250, 257, 360, 500, 977, 1000, 2000, 4000]))
@settings(max_examples=12, deadline=None, derandomize=True, database=None)
def test_resampling_keeps_the_duration(rate):
    signal = np.ones((2, 10 * rate), dtype=np.float32)
    assert abs(resample(signal, rate, TARGET).shape[1] - 1000) <= 1


@pytest.mark.parametrize("rate", [250.0, 500.0, 1000.0])
def test_resampling_keeps_the_wave(rate):
    found = resample(sine(5.0, rate)[None].astype(np.float32), rate, TARGET)
    expected = sine(5.0, TARGET)
    np.testing.assert_allclose(found[0, 50:-50], expected[50:-50], atol=0.01)


def test_resampling_to_the_same_rate_changes_nothing():
    signal = sine(5.0, 100.0)[None].astype(np.float32)
    np.testing.assert_array_equal(resample(signal, 100.0, 100.0), signal)


def test_a_constant_stays_constant_up_to_the_ends():
    signal = np.full((1, 2000), 3.0, dtype=np.float32)
    np.testing.assert_allclose(resample(signal, 500.0, TARGET), 3.0, atol=0.01)


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (6, [0, 1, 2, 3, 4, 5]),
        (4, [1, 2, 3, 4]),
        (3, [1, 2, 3]),
        (8, [0, 0, 1, 2, 3, 4, 5, 0]),
        (9, [0, 0, 1, 2, 3, 4, 5, 0, 0]),
    ],
)
def test_a_window_is_cut_from_the_middle_or_padded_on_both_sides(length, expected):
    signal = np.arange(6, dtype=np.float32)[None]
    assert centre_window(signal, length)[0].tolist() == expected


@given(samples=st.integers(1, 500), wanted=st.integers(1, 500))
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_a_window_has_the_wanted_length(samples, wanted):
    assert centre_window(np.ones((12, samples), dtype=np.float32), wanted).shape == (12, wanted)


@pytest.mark.parametrize(
    ("seconds", "rate", "samples"), [(10.0, 100.0, 1000), (2.5, 3.0, 8), (0.0, 500.0, 0)]
)
def test_seconds_become_whole_samples(seconds, rate, samples):
    assert seconds_to_samples(seconds, rate) == samples
