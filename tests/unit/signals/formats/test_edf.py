"""EDF against edfio, and what of it is refused."""

import io

import numpy as np
import pytest

from cardex.domain.errors import InvalidEcg
from cardex.signals.readers import read
from tests.helpers.ecgs import ecg
from tests.helpers.formats import (
    edf,
    one,
    refusal,
)

FILE = "ecg.file.content"


@pytest.mark.parametrize("unit", ["mV", "uV"])
def test_an_edf_equals_edfio(unit):
    from edfio import read_edf

    content = edf(ecg(), unit=unit)
    expected = np.array([signal.data for signal in read_edf(io.BytesIO(content)).signals])
    waveform = read(one(content))
    scale = 1.0 if unit == "mV" else 1000.0
    np.testing.assert_allclose(waveform.signal, expected / scale, rtol=0, atol=1e-6)
    assert (waveform.rate, waveform.source) == (500.0, "EDF/EDF+")


def test_the_exact_rate_of_an_edf_is_read():
    content = edf(ecg(seconds=12.0)[:, :5120], rate=512 / 1.25, data_record_duration=1.25)
    assert read(one(content)).rate == pytest.approx(409.6)


def test_an_edf_that_ends_early_is_refused():
    assert refusal(one(edf(ecg())[:-2000])) == ("TRUNCATED_ECG", FILE)


def test_an_edf_with_gaps_is_refused():
    content = bytearray(edf(ecg(seconds=10.0), data_record_duration=1.0))
    content[192:197] = b"EDF+D"  # records that need not follow each other
    place = content.rindex(b"+9\x14")
    content[place : place + 2] = b"+8"
    assert refusal(one(bytes(content))) == ("DURATION", FILE)


@pytest.mark.parametrize("label", [b"ECG I  ", b"EKG I  ", b"I      "])
def test_a_lead_that_stands_twice_in_an_edf_is_refused(label):
    content = edf(ecg()).replace(b"ECG III", label, 1)
    with pytest.raises(InvalidEcg, match="lead I stands twice") as caught:
        read(one(content))
    assert (caught.value.reason, caught.value.field) == ("LEAD_SET", FILE)
