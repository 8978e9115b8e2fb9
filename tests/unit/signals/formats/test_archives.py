import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardex.domain.ecg import FilePart
from cardex.domain.errors import CardexError, InvalidEcg
from cardex.signals.formats import archives
from cardex.signals.formats.archives import unpack
from cardex.signals.readers import read
from tests.helpers.ecgs import DICOM, dicom, ecg, wfdb_record

METHODS = {
    "stored": zipfile.ZIP_STORED,
    "deflated": zipfile.ZIP_DEFLATED,
}
UNBOUNDED = {"bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}


def packed(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def of(content: bytes) -> tuple[FilePart, ...]:
    return (FilePart("ecg.zip", content),)


def refusal(content: bytes) -> tuple[str, str]:
    with pytest.raises(InvalidEcg) as caught:
        unpack(of(content))
    return caught.value.reason, caught.value.field


TRUNCATED = ("TRUNCATED_ECG", "ecg.file.content")
LIMIT = ("ZIP_LIMIT", "ecg.file.content")


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_zipped_wfdb_record_is_read_as_its_files_are(tmp_path, method):
    parts = wfdb_record(tmp_path, ecg())
    archive = packed({part.name: part.content for part in parts}, method)
    np.testing.assert_array_equal(read(of(archive)).signal, read(parts).signal)


def test_a_zipped_dicom_is_read_as_the_file_is():
    archive = packed({"a/b/ecg.dcm": DICOM.read_bytes()})
    np.testing.assert_array_equal(read(of(archive)).signal, read(dicom()).signal)


def test_folders_inside_are_dropped():
    archive = packed({"rec/": b"", "rec/a.hea": b"header", "rec/a.dat": b"samples"})
    assert unpack(of(archive)) == (FilePart("a.hea", b"header"), FilePart("a.dat", b"samples"))


def test_folders_of_another_system_are_dropped():
    archive = packed({"rec?a.hea": b"header", "rec?a.dat": b"samples"}).replace(b"rec?", b"rec\\")
    assert unpack(of(archive)) == (FilePart("a.hea", b"header"), FilePart("a.dat", b"samples"))


def test_what_file_managers_and_people_add_is_passed_over(tmp_path):
    extras = {".DS_Store": b"\0\0\0\1Bud1", "__MACOSX/._ecg.dcm": b"\0\5\x16\7", "a/._x": b"\0"}
    hidden = {f".{n}": b"x" for n in range(archives.MAX_FILES)}
    readme = {"readme.txt": b"One ECG of one patient, at rest.\n"}
    archive = packed({**extras, **hidden, **readme, "ecg.dcm": DICOM.read_bytes()})
    np.testing.assert_array_equal(read(of(archive)).signal, read(dicom()).signal)
    parts = wfdb_record(tmp_path, ecg())
    record = {part.name: part.content for part in parts} | {"._rec.hea": b"\0", **readme}
    np.testing.assert_array_equal(read(of(packed(record))).signal, read(parts).signal)


def test_what_is_no_zip_is_left_as_it_is():
    parts = (FilePart("a", b"not a zip"),)
    assert unpack(parts) is parts


def test_a_zip_among_several_files_is_left_as_it_is():
    parts = (FilePart("a.hea", b"header"), FilePart("a.dat", packed({"x": b"y"})))
    assert unpack(parts) is parts


def test_a_zip_of_two_recordings_is_refused(tmp_path):
    first, second = wfdb_record(tmp_path, ecg()), wfdb_record(tmp_path, ecg(), name="other")
    archive = packed({part.name: part.content for part in (*first, *second)})
    with pytest.raises(InvalidEcg) as caught:
        read(of(archive))
    assert caught.value.reason == "NOT_AN_ECG"


def test_a_zip_of_nothing_is_refused():
    with pytest.raises(InvalidEcg) as caught:
        read(of(packed({"folder/": b""})))
    assert caught.value.reason == "NOT_AN_ECG"


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_truncated_zip_is_refused(method):
    archive = packed({"ecg.dcm": DICOM.read_bytes()}, method)
    assert refusal(archive[: len(archive) // 2]) == TRUNCATED


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_zip_with_damaged_contents_is_refused(method):
    archive = bytearray(packed({"ecg.dcm": DICOM.read_bytes()}, method))
    middle = len(archive) // 2
    archive[middle : middle + 40] = bytes(40)
    assert refusal(bytes(archive)) == TRUNCATED


def test_an_encrypted_zip_is_refused():
    archive = bytearray(packed({"ecg.dcm": b"secret" * 10}))
    local, central = archive.find(b"PK\x03\x04"), archive.find(b"PK\x01\x02")
    archive[local + 6] |= 1
    archive[central + 8] |= 1
    assert refusal(bytes(archive)) == TRUNCATED


def test_a_name_that_is_no_text_is_refused():
    archive = packed({"ä.dcm": b"x"}).replace("ä".encode(), b"\xff\xff")
    assert refusal(archive) == TRUNCATED


def test_a_name_of_nothing_is_refused():
    assert refusal(packed({"?a.dcm": b"x"}).replace(b"?a.dcm", b"\0a.dcm")) == TRUNCATED


def test_a_directory_larger_than_the_zip_is_refused():
    archive = bytearray(packed({"a.dcm": b"x"}))
    end = archive.rfind(b"PK\x05\x06")
    archive[end + 12 : end + 16] = len(archive).to_bytes(4, "little")
    assert refusal(bytes(archive)) == TRUNCATED


@pytest.mark.parametrize(
    "name", ["a/..", "x" * 280, "🫀" * 80], ids=["up", "long", "long in bytes"]
)
def test_a_name_that_no_folder_can_take_is_refused_or_ignored(name):
    archive = packed({name: DICOM.read_bytes()})
    try:
        waveform = read(of(archive))
    except InvalidEcg as error:
        assert error.field.startswith("ecg.file")
    else:
        assert waveform.signal.shape == (12, 10_000)


def test_a_bomb_is_refused_at_the_limit():
    bomb = packed({"a.dcm": bytes(archives.MAX_UNPACKED_BYTES + 1)})
    assert len(bomb) < archives.MAX_UNPACKED_BYTES / 500
    assert refusal(bomb) == LIMIT


@pytest.mark.parametrize("method", UNBOUNDED.values(), ids=UNBOUNDED)
def test_a_zip_whose_unpacking_has_no_bound_is_refused(method):
    assert refusal(packed({"ecg.dcm": DICOM.read_bytes()}, method)) == LIMIT


def test_a_directory_of_many_entries_is_refused_before_it_is_read():
    entries = {f"{n}/": b"" for n in range(archives.MAX_ENTRIES + 1)}
    assert refusal(packed(entries)) == LIMIT


def test_many_files_that_together_are_too_large_are_refused(monkeypatch):
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 1000)
    assert refusal(packed({name: bytes(300) for name in "abcd"})) == LIMIT


def test_files_that_together_fill_the_limit_are_unpacked(monkeypatch):
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 1000)
    assert len(unpack(of(packed({name: bytes(250) for name in "abcd"})))) == 4


def test_a_size_that_lies_lets_no_bomb_through(monkeypatch):
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 1000)
    archive = bytearray(packed({"a.dcm": bytes(5000)}))
    central = archive.find(b"PK\x01\x02")
    archive[central + 24 : central + 28] = (100).to_bytes(4, "little")
    with pytest.raises(InvalidEcg):
        unpack(of(bytes(archive)))


def test_too_many_files_are_refused():
    names = [f"{number}.dat" for number in range(archives.MAX_FILES + 1)]
    assert refusal(packed(dict.fromkeys(names, b"x"))) == LIMIT


SMALL = packed({"rec.hea": b"rec 12 500 5000\n" * 20, "rec.dat": bytes(range(256)) * 2})


@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(SMALL) - 1), st.binary(min_size=1, max_size=6)),
        min_size=1,
        max_size=6,
    ),
    end=st.one_of(st.just(len(SMALL)), st.integers(4, len(SMALL))),
)
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
def test_a_damaged_zip_is_unpacked_or_refused(edits, end):
    damaged = bytearray(SMALL)
    for place, written in edits:
        damaged[place : place + len(written)] = written
    try:
        parts = unpack(of(b"PK\x03\x04" + bytes(damaged[4:end])))
    except CardexError as error:
        assert isinstance(error, InvalidEcg)
    else:
        assert all(isinstance(part, FilePart) for part in parts)
