import numpy as np
import pydicom
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from cardex.domain.ecg import LEADS, FilePart, Waveform
from cardex.domain.errors import CardexError, InvalidEcg
from cardex.signals.formats.wfdb_header import MAX_HEADER_BYTES
from cardex.signals.readers import read
from tests.helpers.ecgs import DICOM, dicom, ecg, typed, wfdb_record
from tests.helpers.formats import edf

FILE = "ecg.file.content"
SAMPLES = "ecg.samples.leads"
MISSING = ("MISSING_FILE", "ecg.file.companions")
REFUSED = ("MISSING_FILE", "TRUNCATED_ECG", "NOT_AN_ECG", "FILE_TOO_LARGE")


def refusal(source) -> tuple[str, str]:
    with pytest.raises(InvalidEcg) as caught:
        read(source)
    return caught.value.reason, caught.value.field


def file(content: bytes, name: str = "") -> tuple[FilePart, ...]:
    return (FilePart(name, content),)


@pytest.fixture
def record(tmp_path):
    """Header and signal file of a WFDB record of 10 s at 500 Hz."""
    return wfdb_record(tmp_path, ecg())


def replaced(part: FilePart, old: bytes, new: bytes) -> FilePart:
    assert old in part.content
    return FilePart(part.name, part.content.replace(old, new))


# Clinical files against the libraries of their formats.


def test_a_dicom_equals_pydicom():
    group = pydicom.dcmread(DICOM).WaveformSequence[0]
    microvolts = pydicom.dcmread(DICOM).waveform_array(0)  # (samples, 12)
    waveform = read(dicom())
    np.testing.assert_allclose(waveform.signal, microvolts.T / 1000.0, rtol=0, atol=1e-6)
    assert waveform.rate == float(group.SamplingFrequency)
    assert waveform.source == "DICOM Waveform"


def test_the_leads_of_a_dicom_stand_in_canonical_order():
    channels = pydicom.dcmread(DICOM).WaveformSequence[0].ChannelDefinitionSequence
    names = [channel.ChannelSourceSequence[0].CodeMeaning for channel in channels]
    assert [name.removeprefix("Lead ").split(" ")[0] for name in names] == list(LEADS)
    assert read(dicom()).signal.shape == (12, 10_000)


def test_a_wfdb_record_equals_wfdb(tmp_path, record):
    expected = wfdb.rdrecord(str(tmp_path / "rec"))
    waveform = read(record)
    np.testing.assert_allclose(waveform.signal, expected.p_signal.T, rtol=0, atol=1e-6)
    assert (waveform.rate, waveform.source) == (expected.fs, "WFDB")


def test_real_records_equal_wfdb(shared):
    for stem in ("records100/00000/00001_lr", "records500/00000/00001_hr"):
        path = shared / "ptbxl" / stem
        parts = [path.with_suffix(suffix) for suffix in (".hea", ".dat")]
        waveform = read(tuple(FilePart(part.name, part.read_bytes()) for part in parts))
        expected = wfdb.rdrecord(str(path))
        np.testing.assert_allclose(waveform.signal, expected.p_signal.T, rtol=0, atol=1e-6)
        assert waveform.rate == expected.fs


def test_the_parts_of_a_wfdb_record_come_in_any_order(record):
    np.testing.assert_array_equal(read(record[::-1]).signal, read(record).signal)


def test_an_aecg_and_an_scp_of_the_same_tracing_are_equal(shared):
    aecg = read(file((shared / "formats" / "fda_aecg_subject1_0.xml").read_bytes()))
    scp = read(file((shared / "formats" / "scp_example.scp").read_bytes()))
    assert aecg.rate == scp.rate
    np.testing.assert_allclose(aecg.signal, scp.signal, rtol=0, atol=1e-5)
    assert {aecg.source, scp.source} == {"HL7 aECG", "SCP-ECG"}


def test_the_limb_leads_of_a_philips_file_obey_einthoven_and_goldberger(shared):
    waveform = read(file((shared / "formats" / "philips_sierra_1_04.xml").read_bytes()))
    i, ii, iii, avr, avl, avf = waveform.signal[:6]
    derived = np.stack([ii - i, -(i + ii) / 2, i - ii / 2, ii - i / 2])
    apart = np.abs(np.stack([iii, avr, avl, avf]) - derived) > 0.02
    assert not apart.any()


def test_the_name_of_a_single_file_does_not_matter():
    content = DICOM.read_bytes()
    np.testing.assert_array_equal(read(file(content, "a.xml")).signal, read(dicom()).signal)


# Typed samples.


def test_millivolts_are_taken_as_they_are():
    signal = ecg()
    waveform = read(typed(signal, unit="mV"))
    np.testing.assert_array_equal(waveform.signal, signal)
    assert waveform == Waveform(waveform.signal, 500.0, "samples")


@pytest.mark.parametrize("unit", ["uV", "µV", "μV", "UV"])
def test_microvolts_become_millivolts(unit):
    signal = ecg()
    np.testing.assert_allclose(
        read(typed(signal * 1000, unit=unit)).signal, signal, rtol=1e-6, atol=1e-9
    )


def test_leads_come_in_any_order_and_case():
    order = np.random.default_rng(0).permutation(12)
    names = [LEADS[n].upper() if n % 2 else LEADS[n].lower() for n in order]
    np.testing.assert_array_equal(read(typed(ecg()[order], leads=names)).signal, ecg())


def test_limb_leads_that_are_missing_are_derived():
    kept = [n for n, lead in enumerate(LEADS) if lead not in ("III", "aVR", "aVL", "aVF")]
    waveform = read(typed(ecg()[kept], leads=[LEADS[n] for n in kept]))
    np.testing.assert_allclose(waveform.signal, ecg(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("missing", ["III", "aVR", "aVL", "aVF"])
def test_a_limb_lead_is_derived_by_einthoven_and_goldberger(missing):
    place = LEADS.index(missing)
    rest = [lead for lead in LEADS if lead != missing]
    waveform = read(typed(np.delete(ecg(), place, axis=0), leads=rest))
    np.testing.assert_allclose(waveform.signal[place], ecg()[place], rtol=0, atol=1e-6)


def test_a_limb_lead_that_is_sent_is_not_derived_anew():
    signal = ecg()
    signal[2] += 0.05
    np.testing.assert_array_equal(read(typed(signal)).signal, signal)


def test_channels_that_are_no_ecg_lead_are_ignored():
    signal = np.vstack([ecg(), ecg()[:1]])
    np.testing.assert_array_equal(read(typed(signal, leads=[*LEADS, "RESP"])).signal, ecg())


@pytest.mark.parametrize("rate", [50.0, 4000.0])
def test_the_rates_at_the_limits_are_read(rate):
    assert read(typed(ecg(rate=rate), rate=rate)).rate == rate


def test_the_shortest_and_longest_records_are_read():
    assert read(typed(ecg(seconds=2.0))).seconds == 2.0
    assert read(typed(ecg(rate=50.0, seconds=600.0), rate=50.0)).seconds == 600.0


# Refusals: the reason and the field at fault.


@pytest.mark.parametrize(
    "content",
    [
        b"hello",
        b"\x00" * 5000,
        b"%PDF-1.7\n" + b"x" * 1000,
        b"\x89PNG\r\n\x1a\n" + b"\x00" * 500,
        b'<?xml version="1.0"?><note>no ECG</note>',
        b"time,heart rate\n0,60\n",
    ],
    ids=["text", "zeros", "pdf", "png", "xml", "csv"],
)
def test_what_is_no_ecg_is_refused(content):
    assert refusal(file(content)) == ("NOT_AN_ECG", FILE)


@pytest.mark.parametrize(
    "parts", [(), (FilePart("", b""),), (FilePart("a", b""), FilePart("b", b""))]
)
def test_an_empty_payload_is_refused(parts):
    assert refusal(parts) == ("EMPTY_PAYLOAD", FILE)


def test_no_samples_are_refused():
    assert refusal(typed(np.empty((12, 0), np.float32))) == ("EMPTY_PAYLOAD", SAMPLES)
    assert refusal(typed(np.empty((0, 0), np.float32), leads=())) == ("EMPTY_PAYLOAD", SAMPLES)


@pytest.mark.parametrize("kept", [0.01, 0.25, 0.5, 0.9])
def test_a_truncated_dicom_is_refused(kept):
    content = DICOM.read_bytes()
    assert refusal(file(content[: int(kept * len(content))])) == ("TRUNCATED_ECG", FILE)


@pytest.mark.parametrize(
    "name", ["fda_aecg_subject1_0.xml", "scp_example.scp", "philips_sierra_1_04.xml"]
)
def test_a_truncated_file_of_another_format_is_refused(shared, name):
    content = (shared / "formats" / name).read_bytes()
    assert refusal(file(content[: len(content) // 2])) == ("TRUNCATED_ECG", FILE)


@pytest.mark.parametrize("cut", [1, 24, 60_000])
def test_a_truncated_signal_file_is_refused(record, cut):
    header, signals = record
    parts = (header, FilePart(signals.name, signals.content[:-cut]))
    assert refusal(parts) == ("TRUNCATED_ECG", FILE)


def test_a_wfdb_header_without_its_signals_is_refused(record):
    assert refusal(record[:1]) == MISSING


def test_wfdb_signals_without_their_header_are_refused(record):
    assert refusal(record[1:]) == ("NOT_AN_ECG", FILE)


def test_two_recordings_at_once_are_refused(tmp_path, record):
    second = wfdb_record(tmp_path, ecg(seed=1), name="other")
    assert refusal((*record, *second)) == ("NOT_AN_ECG", "ecg.file.companions")


# A header may name files only that were sent with it, in whatever way it is written.


@pytest.fixture
def elsewhere(tmp_path, record):
    """Lines of a header after its first, that name the signal file by its place on this machine."""
    header, _ = record
    first, _, rest = header.content.partition(b"\n")
    return first, rest.replace(b"rec.dat", str(tmp_path / "rec.dat").encode())


def test_a_header_opens_no_file_by_its_full_path(elsewhere):
    first, rest = elsewhere
    assert refusal(file(first + b"\n" + rest, "rec.hea")) == MISSING


@pytest.mark.parametrize("way", ["../rec.dat", "sub/rec.dat", "..\\rec.dat", "C:\\ecg\\rec.dat"])
def test_a_file_is_found_by_its_base_name_among_what_was_sent(record, way):
    header, signals = record
    elsewhere = replaced(header, b"rec.dat", way.encode())
    assert refusal((elsewhere, FilePart("other.dat", signals.content))) == MISSING
    for name in ("rec.dat", "sub/rec.dat", "sub\\rec.dat"):
        waveform = read((elsewhere, FilePart(name, signals.content)))
        np.testing.assert_array_equal(waveform.signal, read(record).signal)


def test_two_files_of_one_name_are_not_taken_for_each_other(record):
    header, signals = record
    other = FilePart("b/rec.dat", bytes(len(signals.content)))
    assert refusal((header, FilePart("a/rec.dat", signals.content), other)) == (
        "NOT_AN_ECG",
        "ecg.file.companions",
    )
    first, _, rest = header.content.partition(b"rec.dat")
    two = FilePart("rec.hea", first + b"a/rec.dat" + rest.replace(b"rec.dat", b"b/rec.dat"))
    assert refusal((two, signals)) == ("NOT_AN_ECG", "ecg.file.companions")


def test_a_header_opens_no_file_after_a_long_comment(elsewhere):
    first, rest = elsewhere
    comment = b"#" + b"x" * (2 * MAX_HEADER_BYTES) + b"\n"
    assert refusal(file(first + b"\n" + comment + rest, "rec.hea"))[0] in REFUSED


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\r"])
def test_a_header_opens_no_file_in_a_line_that_ends_otherwise(elsewhere, separator):
    first, rest = elsewhere
    content = b"\n".join([first, rest]).replace(b"\n", separator.encode())
    assert refusal(file(content, "rec.hea"))[0] in REFUSED


def test_a_comment_in_a_header_names_no_file(record):
    header, signals = record
    commented = FilePart(header.name, header.content + b"  # leads as they were recorded\n")
    np.testing.assert_array_equal(read((commented, signals)).signal, read(record).signal)


def test_a_wfdb_header_is_told_by_its_content_where_it_has_no_name(record):
    header, signals = record
    nameless = (FilePart("", header.content), signals)
    np.testing.assert_array_equal(read(nameless).signal, read(record).signal)


@pytest.mark.parametrize(
    "name",
    ["..", "a/..", "x" * 300, "🫀" * 80, "notes\0.txt"],
    ids=["up", "down and up", "long", "long in bytes", "null byte"],
)
def test_an_odd_file_name_is_refused_or_ignored(record, name):
    header, signals = record
    try:
        read((header, signals, FilePart(name, b"notes")))
    except InvalidEcg as error:
        assert error.field.startswith("ecg.file")


@pytest.mark.parametrize("missing", ["I", "II", "V1", "V6"])
def test_a_lead_that_cannot_be_derived_must_be_there(missing):
    rest = [lead for lead in LEADS if lead != missing]
    source = typed(np.delete(ecg(), LEADS.index(missing), axis=0), leads=rest)
    with pytest.raises(InvalidEcg, match=rf"missing leads {missing}\b") as caught:
        read(source)
    assert (caught.value.reason, caught.value.field) == ("LEAD_SET", SAMPLES)


def test_a_file_of_other_channels_is_refused(record):
    header = replaced(record[0], b" 0 V1\n", b" 0 ABP\n")
    assert refusal((header, record[1])) == ("LEAD_SET", FILE)


@pytest.mark.parametrize("second", ["V1", "v1"])
def test_a_lead_that_stands_twice_is_refused(second):
    source = typed(np.vstack([ecg(), ecg()[:1]]), leads=[*LEADS, second])
    assert refusal(source) == ("LEAD_SET", "ecg.samples.leads.name")


def test_leads_of_different_length_are_refused():
    signal = list(ecg())
    signal[3] = signal[3][:-1]
    assert refusal(typed(signal)) == ("LEAD_SET", SAMPLES)


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


@pytest.mark.parametrize("unit", ["", "unspecified", "mm", "pV"])
def test_an_unknown_unit_is_refused(unit):
    assert refusal(typed(ecg(), unit=unit)) == ("UNIT", "ecg.samples.unit")


def test_a_file_in_an_unknown_unit_is_refused(record):
    header = replaced(record[0], b"/mV", b"/mmHg")
    assert refusal((header, record[1])) == ("UNIT", FILE)


def test_typed_samples_name_the_lead_that_stands_twice():
    with pytest.raises(InvalidEcg, match="lead V1 stands twice"):
        read(typed(np.vstack([ecg(), ecg()[:1]]), leads=[*LEADS, "ECG V1"]))


def test_a_lead_that_stands_twice_in_a_wfdb_record_is_refused(record):
    header = replaced(record[0], b" 0 V2\n", b" 0 ECG v1\n")
    with pytest.raises(InvalidEcg, match="lead V1 stands twice") as caught:
        read((header, record[1]))
    assert (caught.value.reason, caught.value.field) == ("LEAD_SET", FILE)


@pytest.mark.parametrize("label", [b"ECG I  ", b"EKG I  ", b"I      "])
def test_a_lead_that_stands_twice_in_an_edf_is_refused(label):
    content = edf(ecg()).replace(b"ECG III", label, 1)
    with pytest.raises(InvalidEcg, match="lead I stands twice") as caught:
        read(file(content))
    assert (caught.value.reason, caught.value.field) == ("LEAD_SET", FILE)


def test_a_file_of_no_known_format_is_told_of_the_header_of_wfdb(record):
    with pytest.raises(InvalidEcg, match=r"needs its \.hea header"):
        read(record[1:])


@pytest.mark.parametrize(
    ("samples", "rate", "said"),
    [(999, 500.0, "1.998 s"), (7999, 4000.0, "1.99975 s"), (30_001, 50.0, "600.02 s")],
)
def test_a_length_near_a_limit_is_told_from_it(samples, rate, said):
    signal = ecg(rate=rate, seconds=samples / rate)
    with pytest.raises(InvalidEcg) as caught:
        read(typed(signal, rate=rate))
    assert caught.value.message.startswith(f"{said} long")


def test_only_one_of_several_files_need_be_an_ecg(record):
    notes = FilePart("readme.txt", b"Lead I is noisy.\n")
    page = FilePart("readme.html", b"<html><body>how it was recorded</body></html>")
    ecg_file = FilePart("ecg.dcm", DICOM.read_bytes())
    for parts in ((notes, ecg_file), (page, ecg_file, notes)):
        np.testing.assert_array_equal(read(parts).signal, read(dicom()).signal)
    assert refusal((notes, page)) == ("NOT_AN_ECG", FILE)
    assert refusal((ecg_file, ecg_file, notes)) == ("NOT_AN_ECG", "ecg.file.companions")
    hidden = FilePart("._rec.hea", b"\0\5\x16\7Mac OS X")
    np.testing.assert_array_equal(read((*record, hidden)).signal, read(record).signal)


@pytest.mark.parametrize("seconds", [0.002, 1.998, 600.02])
def test_a_record_under_2_s_or_over_10_min_is_refused(seconds):
    assert refusal(typed(ecg(seconds=seconds))) == ("DURATION", SAMPLES)


def test_a_file_under_2_s_is_refused(tmp_path):
    assert refusal(wfdb_record(tmp_path, ecg(seconds=1.5))) == ("DURATION", FILE)


def test_microvolts_sent_as_millivolts_are_refused():
    assert refusal(typed(ecg() * 1000, unit="mV")) == ("AMPLITUDE", SAMPLES)


def test_a_large_offset_of_the_electrodes_is_no_large_amplitude():
    assert read(typed(ecg() + 300.0)).signal.min() > 290.0


# Whatever comes in, only an error of the tree goes out.


@given(content=st.binary(max_size=600))
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_random_bytes_are_refused(content):
    with pytest.raises(CardexError):
        read(file(content))


ORIGINAL = DICOM.read_bytes()
EDITS = st.lists(
    st.tuples(st.integers(0, 3000), st.binary(min_size=1, max_size=6)), min_size=1, max_size=12
)


@given(edits=EDITS, end=st.one_of(st.just(len(ORIGINAL)), st.integers(0, len(ORIGINAL))))
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_a_damaged_dicom_is_read_or_refused(edits, end):
    damaged = bytearray(ORIGINAL)
    for place, written in edits:
        damaged[place : place + len(written)] = written
    try:
        waveform = read(file(bytes(damaged[:end])))
    except CardexError:
        return
    assert waveform.signal.shape[0] == 12
    assert np.isfinite(waveform.signal).all()
