import numpy as np
import pytest

from cardex.domain.ecg import LEADS, Waveform
from cardex.signals.beats import beat_windows, find_beats, median_beat
from cardex.signals.cleaning import clean
from tests.helpers.ecgs import beats as one_lead
from tests.helpers.ecgs import ecg

RATE = 100.0


def cleaned(signal: np.ndarray, rate: float = 500.0) -> np.ndarray:
    return clean(Waveform(signal, rate), RATE)


def true_peaks(bpm: float, seconds: float = 10.0) -> np.ndarray:
    """Seconds of the R peaks of the made-up ECG."""
    return np.arange(0.40, seconds, 60.0 / bpm)


@pytest.mark.parametrize("bpm", [35.0, 50.0, 66.0, 90.0, 120.0, 150.0])
def test_every_beat_is_found_where_it_is(bpm):
    found = find_beats(cleaned(ecg(bpm=bpm)), RATE)
    expected = true_peaks(bpm)
    seconds = found.peaks / RATE
    # the record's end may cut a QRS in half
    np.testing.assert_allclose(seconds[seconds < 9.8], expected[expected < 9.8], atol=0.021)
    assert found.bpm == pytest.approx(bpm, rel=0.02)


@pytest.mark.parametrize("rate", [100.0, 250.0, 360.0, 1000.0])
def test_the_rate_of_sampling_does_not_matter(rate):
    assert find_beats(cleaned(ecg(rate=rate), rate), RATE).bpm == pytest.approx(66.0, rel=0.02)


@pytest.mark.parametrize("model_rate", [100.0, 250.0, 500.0])
def test_the_models_rate_does_not_matter(model_rate):
    found = find_beats(clean(Waveform(ecg(), 500.0), model_rate), model_rate)
    assert found.bpm == pytest.approx(66.0, rel=0.02)


def test_tall_t_waves_are_no_beats():
    times = np.arange(5000) / 500.0
    signal = ecg()
    for peak in true_peaks(66.0):
        signal += (0.9 * np.exp(-0.5 * ((times - peak - 0.3) / 0.05) ** 2)).astype(np.float32)
    assert len(find_beats(cleaned(signal), RATE).peaks) == len(true_peaks(66.0))


def test_one_bad_lead_does_not_decide():
    signal = ecg()
    signal[6] += np.random.default_rng(0).normal(0, 2.0, 5000).astype(np.float32)
    signal[7] = 0.0
    assert len(find_beats(cleaned(signal), RATE).peaks) == len(true_peaks(66.0))


def test_an_artefact_in_one_place_does_not_hide_the_beats():
    signal = ecg()
    signal[:, 2500:2520] += 8.0
    found = find_beats(cleaned(signal), RATE).peaks / RATE
    for expected in true_peaks(66.0):
        assert np.abs(found - expected).min() < 0.05 or abs(expected - 5.0) < 0.5


@pytest.mark.parametrize("bpm", [200.0, 250.0, 300.0])
def test_a_racing_heart_is_not_halved(bpm):
    times = np.arange(5000) / 500.0
    lead = np.exp(-0.5 * ((np.mod(times, 60.0 / bpm) - 0.1) / 0.01) ** 2)
    found = find_beats(cleaned(np.tile(lead, (12, 1)).astype(np.float32)), RATE)
    assert found.bpm == pytest.approx(bpm, rel=0.02)


def test_bigeminy_is_counted_beat_by_beat():
    times = np.arange(5000) / 500.0
    peaks = [start + shift for start in np.arange(0.4, 9.5, 1.6) for shift in (0.0, 0.5)]
    lead = sum(np.exp(-0.5 * ((times - peak) / 0.012) ** 2) for peak in peaks)
    found = find_beats(cleaned(np.tile(lead, (12, 1)).astype(np.float32)), RATE)
    assert len(found.peaks) == len(peaks)
    assert found.bpm == pytest.approx(75.0, rel=0.08)


@pytest.mark.parametrize("seed", range(3))
def test_noise_has_no_beats(seed):
    random = np.random.default_rng(seed)
    silent = random.normal(0, 0.006, (12, 5000)).astype(np.float32)
    assert find_beats(cleaned(silent), RATE).peaks.size == 0


def test_an_offset_does_not_move_a_peak():
    signal = cleaned(ecg())
    expected = find_beats(signal, RATE).peaks
    np.testing.assert_array_equal(find_beats(signal + np.float32(3.0), RATE).peaks, expected)


def test_silence_has_no_beats():
    found = find_beats(np.zeros((12, 1000), dtype=np.float32), RATE)
    assert found.peaks.size == 0 and found.bpm is None


@pytest.mark.parametrize("samples", [2, 30, 199])
def test_the_shortest_records_are_survived(samples):
    find_beats(np.random.default_rng(0).normal(size=(12, samples)).astype(np.float32), RATE)


def test_real_records_have_the_beats_that_wfdb_finds(ptbxl):
    from wfdb.processing import xqrs_detect

    found_all = missed = 0
    for waveform in ptbxl("records500", 12):
        ours = find_beats(clean(waveform, RATE), RATE).peaks / RATE
        theirs = xqrs_detect(waveform.signal[1].astype(float), fs=500, verbose=False) / 500.0
        theirs = theirs[(theirs > 0.3) & (theirs < 9.7)]
        found_all += len(theirs)
        missed += sum(np.abs(ours - peak).min() > 0.15 for peak in theirs)
    assert found_all > 100
    assert missed <= 0.01 * found_all


def test_the_median_beat_is_the_beat_without_its_noise():
    random = np.random.default_rng(1)
    pure = cleaned(ecg())
    noisy = pure + random.normal(0, 0.05, pure.shape).astype(np.float32)
    where = find_beats(pure, RATE)
    beat, expected = median_beat(noisy, where, 70), median_beat(pure, where, 70)
    assert beat is not None and expected is not None
    assert beat.shape == (12, 70)
    assert np.abs(beat - expected).std() < 0.025
    assert int(beat[LEADS.index("II")].argmax()) == 28  # 40 % before the R peak


def test_a_premature_beat_leaves_the_median_beat_alone():
    signal = ecg()
    plain = median_beat(cleaned(signal), find_beats(cleaned(signal), RATE), 70)
    signal[:, 2000:2200] *= -3.0
    odd = median_beat(cleaned(signal), find_beats(cleaned(signal), RATE), 70)
    assert plain is not None and odd is not None
    np.testing.assert_allclose(odd, plain, atol=0.1)


def test_beats_that_are_cut_off_by_the_ends_are_left_out():
    signal = cleaned(ecg())
    where = find_beats(signal, RATE)
    assert beat_windows(signal, where, 95).shape == (12, len(where.peaks) - 1, 95)


def test_no_whole_beat_is_no_median_beat():
    signal = cleaned(np.tile(one_lead(seconds=2.0), (12, 1)))
    assert median_beat(signal, find_beats(signal, RATE), 400) is None
