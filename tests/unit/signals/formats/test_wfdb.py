"""The fast way through a WFDB record against wfdb, and against ecgdatakit on the same bytes."""

import warnings

import numpy as np
import pytest
import wfdb
from ecgdatakit import FileParser
from ecgdatakit.exceptions import ChecksumWarning

from cardex.domain.ecg import LEADS, FilePart
from cardex.domain.errors import InvalidEcg
from cardex.signals.formats import wfdb as reader
from cardex.signals.readers import read
from tests.helpers.ecgs import ecg
from tests.helpers.real import demo_data

FILE = "ecg.file.content"


def by_ecgdatakit(folder) -> tuple[np.ndarray, float]:
    with warnings.catch_warnings():
        # the checksums are those of the header before it was edited
        warnings.simplefilter("ignore", ChecksumWarning)
        record = FileParser.parse(folder / "rec.hea")
    by_label = {lead.label: lead.samples for lead in record.leads}
    return np.array([by_label[lead] for lead in LEADS], np.float32), record.leads[0].sampling_rate


def edited(tmp_path, record, old: bytes, new: bytes) -> tuple[FilePart, ...]:
    """A record whose header is edited, in the payload and in its folder."""
    header, signals = record
    assert old in header.content
    content = header.content.replace(old, new)
    (tmp_path / "rec.hea").write_bytes(content)
    return (FilePart(header.name, content), signals)


@pytest.fixture
def no_library(monkeypatch):
    def fail(*_args):
        raise AssertionError("not read the fast way")

    monkeypatch.setattr(reader, "_by_library", fail)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"rec.dat", b"rec.dat"),
        (b"1000.0(0)/mV", b"200(0)/mV"),
        (b"1000.0(0)/mV", b"1000.0(-213)/mV"),
        (b"1000.0(0)/mV 16 0", b"1000.0/mV 16 57"),
        (b"1000.0(0)/mV 16 0", b"1000.0(12)/mV 16 57"),
        (b"1000.0(0)/mV", b"1(0)/uV"),
        (b"1000.0(0)/mV", b"999999.5(0)/V"),
        (b"rec 12 500 5000", b"rec 12 500"),
        (b"rec 12 500 5000", b"rec 12 250/500(3) 4000"),
        (b" 16 1000", b" 16+24 1000"),
        (b" aVR\n", b" AVR\n"),
        (b" 0 I\n", b" 0 ECG I\n"),
    ],
)  # fmt: skip
def test_the_fast_way_equals_wfdb_and_ecgdatakit(tmp_path, no_library, record, old, new):
    parts = edited(tmp_path, record, old, new)
    if b"+24" in new:
        parts = edited(tmp_path, (parts[0], record[1]), b"5000", b"4990")
    waveform = read(parts)
    expected, rate = by_ecgdatakit(tmp_path)
    np.testing.assert_allclose(waveform.signal, expected, rtol=1e-6, atol=1e-6)
    assert waveform.rate == rate
    other = wfdb.rdrecord(str(tmp_path / "rec"))
    millivolts = other.p_signal.T * {"mV": 1.0, "uV": 1e-3, "V": 1e3}[other.units[0]]
    np.testing.assert_allclose(waveform.signal, millivolts, rtol=1e-6, atol=1e-6)


def test_a_checksum_is_not_checked(tmp_path, no_library, record):
    header, signals = record
    lines = header.content.splitlines()
    tokens = lines[1].split()
    tokens[6] = b"12345"
    changed = b"\n".join([lines[0], b" ".join(tokens), *lines[2:]])
    np.testing.assert_array_equal(
        read((FilePart("rec.hea", changed), signals)).signal, read(record).signal
    )


def test_a_sample_that_is_marked_as_missing_is_not_taken_for_a_voltage(record):
    content = bytearray(record[1].content)
    content[24:26] = np.array([-32768], "<i2").tobytes()
    with pytest.raises(InvalidEcg, match="in lead I") as caught:
        read((record[0], FilePart("rec.dat", bytes(content))))
    assert caught.value.reason == "NOT_FINITE"


def test_a_rate_that_is_no_whole_number_is_kept(tmp_path, record):
    assert read(edited(tmp_path, record, b"rec 12 500 ", b"rec 12 360.5 ")).rate == 360.5


def test_other_channels_are_ignored_whatever_their_unit(tmp_path, no_library):
    wide = np.vstack([ecg(), ecg()[:1]])
    wfdb.wrsamp(
        "rec",
        fs=500,
        units=["mV"] * 12 + ["bpm"],
        sig_name=[*LEADS, "HR"],
        p_signal=wide.T.astype(float),
        fmt=["16"] * 13,
        write_dir=str(tmp_path),
    )
    parts = [FilePart(n, (tmp_path / n).read_bytes()) for n in ("rec.hea", "rec.dat")]
    np.testing.assert_allclose(read(tuple(parts)).signal, ecg(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("form", ["80", "212", "24", "32"])
def test_other_formats_equal_wfdb(tmp_path, form):
    gain = 40.0 if form == "80" else 1000.0
    wfdb.wrsamp("rec", fs=500, units=["mV"] * 12, sig_name=list(LEADS), fmt=[form] * 12,
                adc_gain=[gain] * 12, baseline=[0] * 12, p_signal=ecg().T.astype(float),
                write_dir=str(tmp_path))  # fmt: skip
    parts = [FilePart(n, (tmp_path / n).read_bytes()) for n in ("rec.hea", "rec.dat")]
    expected = wfdb.rdrecord(str(tmp_path / "rec")).p_signal.T
    np.testing.assert_allclose(read(tuple(parts)).signal, expected, rtol=0, atol=1e-6)


def test_leads_in_several_files_equal_wfdb(tmp_path, record):
    halves = np.frombuffer(record[1].content, "<i2").reshape(-1, 12)
    (tmp_path / "one.dat").write_bytes(halves[:, :6].tobytes())
    (tmp_path / "two.dat").write_bytes(halves[:, 6:].tobytes())
    lines = record[0].content.replace(b"rec.dat", b"one.dat").splitlines()
    lines[7:] = [line.replace(b"one.dat", b"two.dat") for line in lines[7:]]
    (tmp_path / "rec.hea").write_bytes(b"\n".join(lines))
    parts = [FilePart(n, (tmp_path / n).read_bytes()) for n in ("rec.hea", "two.dat", "one.dat")]
    expected = wfdb.rdrecord(str(tmp_path / "rec")).p_signal.T
    np.testing.assert_allclose(read(tuple(parts)).signal, expected, rtol=0, atol=1e-6)
    with pytest.raises(InvalidEcg) as caught:
        read(tuple(parts[:2]))
    assert caught.value.reason == "MISSING_FILE"


def ptb(folder, signal: np.ndarray) -> list[FilePart]:
    """A record like those of the PTB Diagnostic database, with the Frank leads in another file."""
    counts = np.round(signal * 2000).astype("<i2")
    names = [lead.lower() for lead in LEADS] + ["vx", "vy", "vz"]
    files = ["s0010_re.dat"] * 12 + ["s0010_re.xyz"] * 3
    lines = [
        f"{file} 16 2000 16 0 {counts[n % 12, 0]} {counts[n % 12].sum() % 65536} 0 {name}"
        for n, (file, name) in enumerate(zip(files, names, strict=True))
    ]
    contents = {
        "s0010_re.hea": "\n".join([f"s0010_re 15 500 {counts.shape[1]}", *lines]).encode(),
        "s0010_re.dat": counts.T.tobytes(),
        "s0010_re.xyz": counts[:3].T.tobytes(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [FilePart(name, content) for name, content in contents.items()]


@pytest.mark.parametrize("unit", [b"", b"/mV"])
def test_a_file_without_leads_is_not_needed(tmp_path, unit):
    header, leads, frank = ptb(tmp_path, ecg())
    header = FilePart(header.name, header.content.replace(b" 2000 ", b" 2000" + unit + b" "))
    expected = wfdb.rdrecord(str(tmp_path / "s0010_re")).p_signal.T[:12]
    for parts in ((header, leads), (header, leads, frank)):
        np.testing.assert_allclose(read(parts).signal, expected, rtol=0, atol=1e-6)
    with pytest.raises(InvalidEcg, match="lead I, II, III") as caught:
        read((header, frank))
    assert caught.value.reason == "MISSING_FILE"


def test_a_label_with_a_number_is_no_second_lead(tmp_path):
    wide = np.vstack([ecg(), ecg()[:1]])
    for form in ("16", "32"):
        wfdb.wrsamp("rec", fs=500, units=["mV"] * 13, sig_name=[*LEADS, "II_2"], fmt=[form] * 13,
                    adc_gain=[1000.0] * 13, baseline=[0] * 13, p_signal=wide.T.astype(float),
                    write_dir=str(tmp_path))  # fmt: skip
        parts = [FilePart(n, (tmp_path / n).read_bytes()) for n in ("rec.hea", "rec.dat")]
        np.testing.assert_allclose(read(tuple(parts)).signal, ecg(), rtol=0, atol=1e-3)


def test_a_file_that_one_of_its_signals_is_not_stored_in_is_needed(record):
    before, _, after = record[0].content.rpartition(b"rec.dat 16 ")
    header = FilePart("rec.hea", before + b"rec.dat 0 " + after)
    with pytest.raises(InvalidEcg) as caught:
        read((header,))
    assert caught.value.reason == "MISSING_FILE"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"rec 12 500 5000", b"rec/3 12 500 5000", "NOT_AN_ECG"),
        (b"rec.dat 16 ", b"rec.dat 516 ", "NOT_AN_ECG"),
        (b"rec.dat 16 ", b"rec.dat 99 ", "NOT_AN_ECG"),
        (b"rec 12 500 5000", b"rec 12 500 1000000000", "DURATION"),
        (b"rec 12 500 5000", b"rec 12 1e9 5000", "TRUNCATED_ECG"),
        (b"rec 12 500 5000", b"rec 100000 500 5000", "TRUNCATED_ECG"),
        (b"rec 12 500 5000", b"rec 0 500 5000", "TRUNCATED_ECG"),
        (b"rec.dat 16 ", b"rec.dat 16x9999 ", "FILE_TOO_LARGE"),
        (b"rec.dat 16 ", b"rec.dat 16+999999999 ", "TRUNCATED_ECG"),
        (b"rec.dat 16 ", b"rec.dat 16:999999999 ", "NOT_FINITE"),
        (b"rec.dat 16 ", b"rec.dat 0 ", "NOT_FINITE"),
        (b"1000.0(0)/mV", b"0(0)/mV", "UNIT"),
    ],
)
def test_a_header_that_cannot_be_is_refused(tmp_path, record, old, new, reason):
    with pytest.raises(InvalidEcg) as caught:
        read(edited(tmp_path, record, old, new))
    assert (caught.value.reason, caught.value.field) == (reason, FILE)


def test_a_record_over_ten_minutes_is_refused_by_its_header_alone(tmp_path, record, monkeypatch):
    monkeypatch.setattr(reader, "_interleaved", None)
    parts = edited(tmp_path, record, b"rec 12 500 5000", b"rec 12 500 43200000")
    with pytest.raises(InvalidEcg, match="at most 600 s") as caught:
        read(parts)
    assert caught.value.reason == "DURATION"


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


def test_records_of_the_challenge_equal_wfdb():
    for header in demo_data().cpsc:
        mat = header.with_suffix(".mat")
        parts = tuple(FilePart(path.name, path.read_bytes()) for path in (header, mat))
        expected = wfdb.rdrecord(str(header.with_suffix("")))
        waveform = read(parts)
        np.testing.assert_allclose(waveform.signal, expected.p_signal.T, rtol=0, atol=1e-6)
        assert waveform.rate == expected.fs == 500.0
