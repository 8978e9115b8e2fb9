"""MUSE, aECG and Sierra XML against the same tracings in other formats, and other libraries."""

import numpy as np
import pytest

from cardex.domain.ecg import LEADS
from cardex.signals.readers import read
from tests.helpers.formats import PAIRS, muse_pairs, one, refusal

EIGHT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
FILE = "ecg.file.content"


@pytest.fixture(scope="module")
def pairs():
    return muse_pairs()


def with_baseline(muse: bytes, counts: str) -> bytes:
    start = muse.index(b"<WaveformType>Rhythm")
    tag = f"<LeadData><FirstSampleBaseline>{counts}</FirstSampleBaseline>".encode()
    return muse[:start] + muse[start:].replace(b"<LeadData>", tag)


@pytest.mark.parametrize("name", PAIRS)
def test_a_muse_file_equals_the_dicom_of_the_same_tracing(pairs, name):
    muse, dicom_file = (read(one(content)) for content in pairs[name])
    assert muse.signal.shape == dicom_file.signal.shape == (12, 5000)
    assert muse.rate == dicom_file.rate == 500.0
    # the derived leads are rounded to whole steps of 4.88 uV in the DICOM
    np.testing.assert_allclose(muse.signal, dicom_file.signal, rtol=0, atol=0.005)
    eight = [LEADS.index(lead) for lead in EIGHT]
    np.testing.assert_allclose(muse.signal[eight], dicom_file.signal[eight], rtol=0, atol=1e-6)


@pytest.mark.parametrize("counts", ["100", "-37"])
def test_the_baseline_of_a_muse_lead_is_taken_off(pairs, counts):
    plain = read(one(pairs["synthetic_muse"][0])).signal
    shifted = read(one(with_baseline(pairs["synthetic_muse"][0], counts))).signal
    gain = 4.88e-3  # mV
    np.testing.assert_allclose(shifted[6:], plain[6:] - int(counts) * gain, rtol=0, atol=1e-5)
    np.testing.assert_allclose(shifted[2], plain[2], rtol=0, atol=1e-5)  # III = II - I


def test_the_rhythm_of_a_muse_file_is_read_wherever_it_stands(pairs):
    muse = pairs["synthetic_muse"][0]
    start, end = muse.index(b"<Waveform>"), muse.rindex(b"</Waveform>") + len(b"</Waveform>")
    parts = muse[start:end].split(b"</Waveform>")[:-1]
    assert len(parts) == 2
    turned = b"</Waveform>".join([*parts[::-1], b""])
    np.testing.assert_array_equal(
        read(one(muse[:start] + turned + muse[end:])).signal, read(one(muse)).signal
    )


@pytest.mark.parametrize(
    ("unit", "scale"), [("MILLIVOLTS", 1000.0), ("NANOVOLTS", 1e-3), ("VOLTS", None), ("MMHG", 0)]
)
def test_the_unit_of_a_muse_lead_counts(pairs, unit, scale):
    muse = pairs["synthetic_muse"][0].replace(b">MICROVOLTS<", f">{unit}<".encode())
    if scale is None or scale > 1:
        assert refusal(one(muse)) == ("AMPLITUDE", FILE)
    elif not scale:
        assert refusal(one(muse)) == ("UNIT", FILE)
    else:
        plain = read(one(pairs["synthetic_muse"][0])).signal
        np.testing.assert_allclose(read(one(muse)).signal, plain * scale, rtol=1e-5, atol=1e-9)


def test_a_philips_file_equals_sierraecg(shared):
    import sierraecg

    path = shared / "formats" / "philips_sierra_1_04.xml"
    expected = sierraecg.read_file(str(path)).leads
    waveform = read(one(path.read_bytes()), with_pulses=True)
    assert [lead.label.upper() for lead in expected] == [lead.upper() for lead in LEADS]
    assert waveform.rate == expected[0].sampling_freq
    millivolts = np.array([lead.samples for lead in expected]) / 200.0  # 5 uV a step
    np.testing.assert_allclose(waveform.signal, millivolts, rtol=0, atol=1e-6)


def test_latin_letters_under_a_wrong_declaration_are_read(shared):
    content = (shared / "formats" / "fda_aecg_subject1_0.xml").read_bytes()
    wrong = content.replace(b"Mortara", "Mörtara".encode("latin-1"))
    assert wrong != content
    np.testing.assert_array_equal(read(one(wrong)).signal, read(one(content)).signal)


def test_the_limb_leads_of_a_philips_file_obey_einthoven_and_goldberger(shared):
    waveform = read(one((shared / "formats" / "philips_sierra_1_04.xml").read_bytes()))
    i, ii, iii, avr, avl, avf = waveform.signal[:6]
    derived = np.stack([ii - i, -(i + ii) / 2, i - ii / 2, ii - i / 2])
    apart = np.abs(np.stack([iii, avr, avl, avf]) - derived) > 0.02
    assert not apart.any()
