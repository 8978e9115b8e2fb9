"""The files that a WFDB header names: only those that were sent with it are ever opened."""

import numpy as np
import pytest

from cardex.domain.ecg import FilePart
from cardex.domain.errors import InvalidEcg
from cardex.signals.formats.wfdb_header import MAX_HEADER_BYTES
from cardex.signals.readers import read
from tests.helpers.formats import one, refusal, replaced

FILE = "ecg.file.content"
MISSING = ("MISSING_FILE", "ecg.file.companions")
REFUSED = ("MISSING_FILE", "TRUNCATED_ECG", "NOT_AN_ECG", "FILE_TOO_LARGE")


def test_the_parts_of_a_wfdb_record_come_in_any_order(record):
    np.testing.assert_array_equal(read(record[::-1]).signal, read(record).signal)


@pytest.mark.parametrize("cut", [1, 24, 60_000])
def test_a_truncated_signal_file_is_refused(record, cut):
    header, signals = record
    parts = (header, FilePart(signals.name, signals.content[:-cut]))
    assert refusal(parts) == ("TRUNCATED_ECG", FILE)


def test_a_wfdb_header_without_its_signals_is_refused(record):
    assert refusal(record[:1]) == MISSING


def test_wfdb_signals_without_their_header_are_refused(record):
    assert refusal(record[1:]) == ("NOT_AN_ECG", FILE)


@pytest.fixture
def elsewhere(tmp_path, record):
    """Lines of a header after its first, that name the signal file by its place on this machine."""
    header, _ = record
    first, _, rest = header.content.partition(b"\n")
    return first, rest.replace(b"rec.dat", str(tmp_path / "rec.dat").encode())


def test_a_header_opens_no_file_by_its_full_path(elsewhere):
    first, rest = elsewhere
    assert refusal(one(first + b"\n" + rest, "rec.hea")) == MISSING


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
    assert refusal(one(first + b"\n" + comment + rest, "rec.hea"))[0] in REFUSED


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\r"])
def test_a_header_opens_no_file_in_a_line_that_ends_otherwise(elsewhere, separator):
    first, rest = elsewhere
    content = b"\n".join([first, rest]).replace(b"\n", separator.encode())
    assert refusal(one(content, "rec.hea"))[0] in REFUSED


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


def test_a_file_of_other_channels_is_refused(record):
    header = replaced(record[0], b" 0 V1\n", b" 0 ABP\n")
    assert refusal((header, record[1])) == ("LEAD_SET", FILE)


def test_a_file_in_an_unknown_unit_is_refused(record):
    header = replaced(record[0], b"/mV", b"/mmHg")
    assert refusal((header, record[1])) == ("UNIT", FILE)


def test_a_lead_that_stands_twice_in_a_wfdb_record_is_refused(record):
    header = replaced(record[0], b" 0 V2\n", b" 0 ECG v1\n")
    with pytest.raises(InvalidEcg, match="lead V1 stands twice") as caught:
        read((header, record[1]))
    assert (caught.value.reason, caught.value.field) == ("LEAD_SET", FILE)
