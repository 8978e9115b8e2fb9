"""Telling formats by their content, and one recording among several files."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardex.domain.ecg import FilePart
from cardex.domain.errors import CardexError, InvalidEcg
from cardex.signals.readers import read
from tests.helpers import ecgs
from tests.helpers.ecgs import DICOM, ecg, wfdb_record
from tests.helpers.formats import one, refusal

FILE = "ecg.file.content"


def test_the_name_of_a_single_file_does_not_matter():
    content = DICOM.read_bytes()
    np.testing.assert_array_equal(read(one(content, "a.xml")).signal, read(ecgs.dicom()).signal)


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
    assert refusal(one(content)) == ("NOT_AN_ECG", FILE)


@pytest.mark.parametrize(
    "parts", [(), (FilePart("", b""),), (FilePart("a", b""), FilePart("b", b""))]
)
def test_an_empty_payload_is_refused(parts):
    assert refusal(parts) == ("EMPTY_PAYLOAD", FILE)


@pytest.mark.parametrize(
    "name", ["fda_aecg_subject1_0.xml", "scp_example.scp", "philips_sierra_1_04.xml"]
)
def test_a_truncated_file_of_another_format_is_refused(shared, name):
    content = (shared / "formats" / name).read_bytes()
    assert refusal(one(content[: len(content) // 2])) == ("TRUNCATED_ECG", FILE)


def test_two_recordings_at_once_are_refused(tmp_path, record):
    second = wfdb_record(tmp_path, ecg(seed=1), name="other")
    assert refusal((*record, *second)) == ("NOT_AN_ECG", "ecg.file.companions")


def test_a_file_of_no_known_format_is_told_of_the_header_of_wfdb(record):
    with pytest.raises(InvalidEcg, match=r"needs its \.hea header"):
        read(record[1:])


def test_only_one_of_several_files_need_be_an_ecg(record):
    notes = FilePart("readme.txt", b"Lead I is noisy.\n")
    page = FilePart("readme.html", b"<html><body>how it was recorded</body></html>")
    ecg_file = FilePart("ecg.dcm", DICOM.read_bytes())
    for parts in ((notes, ecg_file), (page, ecg_file, notes)):
        np.testing.assert_array_equal(read(parts).signal, read(ecgs.dicom()).signal)
    assert refusal((notes, page)) == ("NOT_AN_ECG", FILE)
    assert refusal((ecg_file, ecg_file, notes)) == ("NOT_AN_ECG", "ecg.file.companions")
    hidden = FilePart("._rec.hea", b"\0\5\x16\7Mac OS X")
    np.testing.assert_array_equal(read((*record, hidden)).signal, read(record).signal)


@given(content=st.binary(max_size=600))
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_random_bytes_are_refused(content):
    with pytest.raises(CardexError):
        read(one(content))


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
        waveform = read(one(bytes(damaged[:end])))
    except CardexError:
        return
    assert waveform.signal.shape[0] == 12
    assert np.isfinite(waveform.signal).all()
