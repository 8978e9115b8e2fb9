"""DICOM against pydicom, and what of it is refused."""

import io

import numpy as np
import pydicom
import pytest

from cardex.domain.ecg import LEADS
from cardex.signals.readers import read
from tests.helpers import ecgs
from tests.helpers.ecgs import DICOM, ecg
from tests.helpers.formats import (
    PAIRS,
    dicom,
    muse_pairs,
    one,
    refusal,
    written,
)

FILE = "ecg.file.content"


def test_a_dicom_equals_pydicom():
    group = pydicom.dcmread(DICOM).WaveformSequence[0]
    microvolts = pydicom.dcmread(DICOM).waveform_array(0)  # (samples, 12)
    waveform = read(ecgs.dicom())
    np.testing.assert_allclose(waveform.signal, microvolts.T / 1000.0, rtol=0, atol=1e-6)
    assert waveform.rate == float(group.SamplingFrequency)
    assert waveform.source == "DICOM Waveform"


def test_the_leads_of_a_dicom_stand_in_canonical_order():
    channels = pydicom.dcmread(DICOM).WaveformSequence[0].ChannelDefinitionSequence
    names = [channel.ChannelSourceSequence[0].CodeMeaning for channel in channels]
    assert [name.removeprefix("Lead ").split(" ")[0] for name in names] == list(LEADS)
    assert read(ecgs.dicom()).signal.shape == (12, 10_000)


@pytest.fixture(scope="module")
def pairs():
    return muse_pairs()


@pytest.mark.parametrize("name", PAIRS)
def test_the_dicom_of_a_pair_equals_pydicom(pairs, name):
    dataset = pydicom.dcmread(io.BytesIO(pairs[name][1]))
    expected = dataset.waveform_array(0).T / 1000.0
    channels = dataset.WaveformSequence[0].ChannelDefinitionSequence
    names = [
        c.ChannelSourceSequence[0].CodeMeaning.split(",")[0].removeprefix("Lead ") for c in channels
    ]
    order = [[name.upper() for name in names].index(lead.upper()) for lead in LEADS]
    signal = read(one(pairs[name][1])).signal
    np.testing.assert_allclose(signal, expected[order], rtol=0, atol=1e-6)


def test_the_rhythm_of_a_dicom_is_read_wherever_it_stands():
    dataset = dicom(ecg())
    median = dicom(ecg(seconds=1.2)).WaveformSequence[0]
    median.MultiplexGroupLabel = "MEDIAN BEAT"
    rhythm = dataset.WaveformSequence[0]
    for groups in ([median, rhythm], [rhythm, median]):
        dataset.WaveformSequence = pydicom.Sequence(groups)
        np.testing.assert_allclose(read(one(written(dataset))).signal, ecg(), atol=7e-4)


def test_the_longest_group_of_a_dicom_is_read_where_none_has_a_label():
    dataset = dicom(ecg())
    short = dicom(ecg(seconds=1.2)).WaveformSequence[0]
    rhythm = dataset.WaveformSequence[0]
    for group in (short, rhythm):
        group.MultiplexGroupLabel = ""
    dataset.WaveformSequence = pydicom.Sequence([short, rhythm])
    assert read(one(written(dataset))).seconds == 10.0


def test_a_rate_that_is_no_whole_number_is_kept():
    rate = 499.5
    assert read(one(written(dicom(ecg(), rate=rate)))).rate == rate


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"])
def test_a_dicom_is_read_under_other_transfer_syntaxes(syntax):
    dataset = dicom(ecg())
    dataset.file_meta.TransferSyntaxUID = syntax
    stream = io.BytesIO()
    implicit = syntax == "1.2.840.10008.1.2"
    dataset.save_as(stream, implicit_vr=implicit, little_endian=True)
    np.testing.assert_allclose(read(one(stream.getvalue())).signal, ecg(), atol=7e-4)


def without_group_length(content: bytes) -> bytes:
    assert content[132:138] == b"\x02\0\0\0UL"
    return content[:132] + content[144:]


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"])
def test_a_dicom_without_the_length_of_its_meta_group_is_read(syntax):
    dataset = dicom(ecg())
    dataset.file_meta.TransferSyntaxUID = syntax
    stream = io.BytesIO()
    dataset.save_as(stream, implicit_vr=syntax.endswith("1.2"), little_endian=True)
    content = without_group_length(stream.getvalue())
    np.testing.assert_array_equal(read(one(content)).signal, read(one(stream.getvalue())).signal)
    wrong = bytearray(stream.getvalue())
    wrong[140:144] = b"\x10\0\0\0"
    np.testing.assert_array_equal(
        read(one(bytes(wrong))).signal, read(one(stream.getvalue())).signal
    )


def test_a_meta_group_is_walked_within_limits():
    content = without_group_length(written(dicom(ecg())))
    tiny = b"\x02\0\x02\1UI\0\0"
    assert refusal(one(content[:132] + tiny * 500_000 + content[132:])) == ("FILE_TOO_LARGE", FILE)
    for value in (b"SQ\0\0\0\0\0\0", b"OB\0\0\xff\xff\xff\xff"):
        damaged = content[:132] + b"\x02\0\x02\1" + value + content[132:]
        assert refusal(one(damaged)) == ("TRUNCATED_ECG", FILE)
    assert refusal(one(content[:132] + b"no elements" * 20)) == ("TRUNCATED_ECG", FILE)


@pytest.mark.parametrize("kept", [0.01, 0.25, 0.5, 0.9])
def test_a_truncated_dicom_is_refused(kept):
    content = DICOM.read_bytes()
    assert refusal(one(content[: int(kept * len(content))])) == ("TRUNCATED_ECG", FILE)
