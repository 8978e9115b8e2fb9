import pytest

from cardex.api.client import ecg_of_files
from cardex.api.convert.ecg import from_payload, to_payload
from cardex.domain.errors import InvalidEcg
from tests.helpers.ecgs import DICOM, dicom


def test_a_single_file_is_its_bytes():
    assert from_payload(to_payload(ecg_of_files([DICOM]))) == dicom()


def test_the_other_files_of_a_recording_are_companions(tmp_path):
    for name in ("a.hea", "a.dat", "a.mat"):
        (tmp_path / name).write_text(name)
    file = ecg_of_files([tmp_path / name for name in ("a.hea", "a.dat", "a.mat")]).file
    assert (file.name, file.content) == ("a.hea", b"a.hea")
    assert [(other.name, other.content) for other in file.companions] == [
        ("a.dat", b"a.dat"),
        ("a.mat", b"a.mat"),
    ]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InvalidEcg, match=r"none\.dcm: No such file"):
        ecg_of_files([tmp_path / "none.dcm"])
