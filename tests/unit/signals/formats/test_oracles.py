"""Every format against the library of its own, on real files where there are any."""

import io

import numpy as np
import pydicom
import pytest
import wfdb

from cardex.domain.ecg import LEADS, FilePart
from cardex.domain.errors import InvalidEcg
from cardex.signals.readers import read
from tests.helpers.ecgs import ecg
from tests.helpers.formats import PAIRS, dicom, edf, ishne, muse_pairs, one, written
from tests.helpers.real import demo_data

EIGHT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
FILE = "ecg.file.content"


def refusal(content: bytes) -> tuple[str, str]:
    with pytest.raises(InvalidEcg) as caught:
        read(one(content))
    return caught.value.reason, caught.value.field


@pytest.fixture(scope="module")
def pairs():
    return muse_pairs()


def with_baseline(muse: bytes, counts: str) -> bytes:
    start = muse.index(b"<WaveformType>Rhythm")
    tag = f"<LeadData><FirstSampleBaseline>{counts}</FirstSampleBaseline>".encode()
    return muse[:start] + muse[start:].replace(b"<LeadData>", tag)


# GE MUSE.


@pytest.mark.parametrize("name", PAIRS)
def test_a_muse_file_equals_the_dicom_of_the_same_tracing(pairs, name):
    muse, dicom_file = (read(one(content)) for content in pairs[name])
    assert muse.signal.shape == dicom_file.signal.shape == (12, 5000)
    assert muse.rate == dicom_file.rate == 500.0
    # the derived leads are rounded to whole steps of 4.88 uV in the DICOM
    np.testing.assert_allclose(muse.signal, dicom_file.signal, rtol=0, atol=0.005)
    eight = [LEADS.index(lead) for lead in EIGHT]
    np.testing.assert_allclose(muse.signal[eight], dicom_file.signal[eight], rtol=0, atol=1e-6)


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
        assert refusal(muse) == ("AMPLITUDE", FILE)
    elif not scale:
        assert refusal(muse) == ("UNIT", FILE)
    else:
        plain = read(one(pairs["synthetic_muse"][0])).signal
        np.testing.assert_allclose(read(one(muse)).signal, plain * scale, rtol=1e-5, atol=1e-9)


# DICOM.


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


# HL7 aECG, SCP-ECG, Philips.


def test_an_aecg_equals_the_scp_of_the_same_tracing(shared):
    aecg = read(one((shared / "formats" / "fda_aecg_subject1_0.xml").read_bytes()))
    scp = read(one((shared / "formats" / "scp_example.scp").read_bytes()))
    assert aecg.signal.shape == scp.signal.shape == (12, 5000)
    np.testing.assert_allclose(aecg.signal, scp.signal, rtol=0, atol=1e-5)


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


# EDF.


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
    assert refusal(edf(ecg())[:-2000]) == ("TRUNCATED_ECG", FILE)


def test_an_edf_with_gaps_is_refused():
    content = bytearray(edf(ecg(seconds=10.0), data_record_duration=1.0))
    content[192:197] = b"EDF+D"  # records that need not follow each other
    place = content.rindex(b"+9\x14")
    content[place : place + 2] = b"+8"
    assert refusal(bytes(content)) == ("DURATION", FILE)


# ISHNE.


def test_an_ishne_file_is_read_as_it_was_written():
    waveform = read(one(ishne(ecg())))
    np.testing.assert_allclose(waveform.signal, ecg(), rtol=0, atol=0.0013)
    assert (waveform.rate, waveform.source) == (500.0, "ISHNE Holter")


def test_the_leads_of_an_ishne_file_are_told_by_their_codes():
    order = tuple(reversed(EIGHT))
    rows = ecg()[[LEADS.index(lead) for lead in order]]
    waveform = read(one(ishne(rows, leads=order)))
    np.testing.assert_allclose(waveform.signal, ecg(), rtol=0, atol=0.004)


def test_samples_counted_over_all_leads_are_understood():
    assert read(one(ishne(ecg(), declared=12 * 5000))).seconds == 10.0


def test_an_ishne_file_that_ends_early_is_refused():
    assert refusal(ishne(ecg())[:-2400]) == ("TRUNCATED_ECG", FILE)


# WFDB, as in the CinC challenges.


def test_records_of_the_challenge_equal_wfdb():
    for header in demo_data().cpsc:
        mat = header.with_suffix(".mat")
        parts = tuple(FilePart(path.name, path.read_bytes()) for path in (header, mat))
        expected = wfdb.rdrecord(str(header.with_suffix("")))
        waveform = read(parts)
        np.testing.assert_allclose(waveform.signal, expected.p_signal.T, rtol=0, atol=1e-6)
        assert waveform.rate == expected.fs == 500.0


def test_a_matlab_file_alone_is_refused_with_the_remedy():
    mat = demo_data().cpsc[0].with_suffix(".mat").read_bytes()
    for content in (mat, b"MATLAB 5.0 MAT-file, Platform: nt" + b"\0" * 200):
        with pytest.raises(InvalidEcg, match=r"send the \.hea header") as caught:
            read(one(content, "A0001.mat"))
        assert (caught.value.reason, caught.value.field) == (
            "MISSING_FILE",
            "ecg.file.companions",
        )


# DICOM under its other transfer syntaxes.


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
    assert refusal(content[:132] + tiny * 500_000 + content[132:]) == ("FILE_TOO_LARGE", FILE)
    for value in (b"SQ\0\0\0\0\0\0", b"OB\0\0\xff\xff\xff\xff"):
        damaged = content[:132] + b"\x02\0\x02\1" + value + content[132:]
        assert refusal(damaged) == ("TRUNCATED_ECG", FILE)
    assert refusal(content[:132] + b"no elements" * 20) == ("TRUNCATED_ECG", FILE)
