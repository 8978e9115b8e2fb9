"""The limits of rate, length and amplitude that every recording has to keep."""

import numpy as np
import pytest

from cardex.domain.errors import InvalidEcg
from cardex.signals.readers import read
from tests.helpers.ecgs import ecg, typed, wfdb_record
from tests.helpers.formats import refusal, replaced

FILE = "ecg.file.content"
SAMPLES = "ecg.samples.leads"


@pytest.mark.parametrize("rate", [50.0, 4000.0])
def test_the_rates_at_the_limits_are_read(rate):
    assert read(typed(ecg(rate=rate), rate=rate)).rate == rate


def test_the_shortest_and_longest_records_are_read():
    assert read(typed(ecg(seconds=2.0))).seconds == 2.0
    assert read(typed(ecg(rate=50.0, seconds=600.0), rate=50.0)).seconds == 600.0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused_with_their_lead(value):
    signal = ecg()
    signal[7, 100] = value
    with pytest.raises(InvalidEcg, match=r"in lead V2:") as caught:
        read(typed(signal))
    assert (caught.value.reason, caught.value.field) == ("NOT_FINITE", SAMPLES)


def test_twelve_flat_leads_are_refused():
    flat = np.full((12, 5000), 0.4, dtype=np.float32)
    assert refusal(typed(flat)) == ("ALL_LEADS_FLAT", SAMPLES)


def test_one_lead_with_signal_is_enough():
    signal = np.zeros((12, 5000), dtype=np.float32)
    signal[1] = ecg()[1]
    assert read(typed(signal)).signal[1].any()


@pytest.mark.parametrize("rate", [0.0, -500.0, 49.9, 4000.1, np.nan, np.inf])
def test_an_impossible_rate_is_refused(rate):
    assert refusal(typed(ecg(), rate=rate)) == ("SAMPLING_RATE", "ecg.samples.rate_hz")


def test_an_impossible_rate_of_a_file_is_refused(record):
    header = replaced(record[0], b"rec 12 500 ", b"rec 12 9000 ")
    assert refusal((header, record[1])) == ("SAMPLING_RATE", FILE)


@pytest.mark.parametrize(
    ("samples", "rate", "said"),
    [(999, 500.0, "1.998 s"), (7999, 4000.0, "1.99975 s"), (30_001, 50.0, "600.02 s")],
)
def test_a_length_near_a_limit_is_told_from_it(samples, rate, said):
    signal = ecg(rate=rate, seconds=samples / rate)
    with pytest.raises(InvalidEcg) as caught:
        read(typed(signal, rate=rate))
    assert caught.value.message.startswith(f"{said} long")


@pytest.mark.parametrize("seconds", [0.002, 1.998, 600.02])
def test_a_record_under_2_s_or_over_10_min_is_refused(seconds):
    assert refusal(typed(ecg(seconds=seconds))) == ("DURATION", SAMPLES)


def test_a_file_under_2_s_is_refused(tmp_path):
    assert refusal(wfdb_record(tmp_path, ecg(seconds=1.5))) == ("DURATION", FILE)


def test_microvolts_sent_as_millivolts_are_refused():
    assert refusal(typed(ecg() * 1000, unit="mV")) == ("AMPLITUDE", SAMPLES)


def test_a_large_offset_of_the_electrodes_is_no_large_amplitude():
    assert read(typed(ecg() + 300.0)).signal.min() > 290.0
