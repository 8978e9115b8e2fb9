import numpy as np
import pytest

from services.domain.ecg import LEADS, FilePart, Waveform
from services.signals.quality import assess
from services.signals.readers import read
from tests.unit.ecgs import dicom, ecg

WINDOW_S = 10.0


@pytest.fixture
def signal():
    """A made-up ECG without a doubt: (12, 5000) at 500 Hz."""
    return ecg()


def codes(signal: np.ndarray, rate: float = 500.0) -> dict[str, tuple[str, ...]]:
    return {w.code: w.leads for w in assess(Waveform(signal, rate), WINDOW_S)}


def test_a_clean_made_up_ecg_raises_no_doubt(signal):
    assert codes(signal) == {}


def test_a_clean_real_ecg_raises_no_doubt():
    assert assess(read(dicom()), WINDOW_S) == ()


def test_clean_records_of_ptbxl_raise_no_doubt(shared):
    for stem in ("records100/00000/00001_lr", "records500/00000/00001_hr"):
        paths = [shared / "ptbxl" / f"{stem}{suffix}" for suffix in (".hea", ".dat")]
        waveform = read(tuple(FilePart(path.name, path.read_bytes()) for path in paths))
        assert assess(waveform, WINDOW_S) == ()


def test_a_lead_that_is_off_is_flat(signal):
    signal[6] = 0.01 * np.sin(np.arange(5000))
    signal[10] = 0.0
    assert codes(signal) == {"LEAD_FLAT": ("V1", "V5")}


@pytest.mark.parametrize("side", ["top", "bottom", "both"])
def test_a_lead_at_its_amplifiers_limit_is_saturated(signal, side):
    low, high = np.percentile(signal[9], [5, 95])
    limits = {"top": (None, high), "bottom": (low, None), "both": (low, high)}[side]
    signal[9] = np.clip(signal[9], *limits)
    assert codes(signal) == {"LEAD_SATURATED": ("V4",)}


def test_a_lead_of_white_noise_is_noisy(signal):
    signal[8] = np.random.default_rng(0).normal(0, 0.5, 5000)
    assert codes(signal) == {"LEAD_NOISY": ("V3",)}


@pytest.mark.parametrize("rate", [100.0, 250.0, 500.0, 1000.0])
def test_noise_is_told_at_every_rate(rate):
    signal = ecg(rate=rate)
    assert codes(signal, rate) == {}
    signal[8] += np.random.default_rng(0).normal(0, 0.4, signal.shape[1]).astype(np.float32)
    assert codes(signal, rate) == {"LEAD_NOISY": ("V3",)}


def test_swapped_arm_electrodes_contradict_einthoven(signal):
    signal[0] = -signal[0]
    assert codes(signal) == {"LEADS_INCONSISTENT": ("I", "II", "III")}


def test_a_record_shorter_than_the_models_window_is_short():
    assert codes(ecg(seconds=9.5)) == {"SHORT_RECORD": ()}


def test_a_record_as_long_as_the_window_is_not_short():
    assert codes(ecg(seconds=WINDOW_S)) == {}


def test_a_rate_under_100_hz_is_low():
    assert "LOW_RATE" in codes(ecg(rate=90.0), 90.0)


def test_a_flat_lead_is_not_called_saturated_or_noisy_too(signal):
    signal[3:6] = 0.0
    signal[:3] = 0.0
    assert codes(signal) == {"LEAD_FLAT": LEADS[:6]}


def test_the_doubts_about_leads_come_before_those_about_the_record():
    signal = ecg(seconds=5.0)
    signal[11] = 0.0
    assert list(codes(signal)) == ["LEAD_FLAT", "SHORT_RECORD"]


def test_a_warning_says_in_words_what_is_wrong():
    (warning,) = assess(Waveform(ecg(seconds=4.0), 500.0), WINDOW_S)
    assert warning.message.startswith("4.0 s of the 10 s")
