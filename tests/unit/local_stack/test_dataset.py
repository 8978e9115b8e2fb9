import pytest

from cardex.domain.errors import ConfigurationError
from cardex.local_stack.dataset import PTBXL_TABLE, fetch


def test_a_download_with_other_contents_is_not_used(tmp_path):
    (tmp_path / PTBXL_TABLE.file).write_bytes(b"something else")
    with pytest.raises(ConfigurationError, match=f"{PTBXL_TABLE.file} has SHA-256 .*not used"):
        fetch(tmp_path, lambda _: None)
    assert not (tmp_path / PTBXL_TABLE.file).exists()
    assert not (tmp_path / "ptbxl").exists()


def test_what_is_there_is_not_fetched_again(tmp_path):
    (tmp_path / "ptbxl").mkdir()
    (tmp_path / "ptbxl" / "scp_statements.csv").touch()
    (tmp_path / "cpsc_2018").mkdir()
    for number in range(1, 11):
        (tmp_path / "cpsc_2018" / f"A{number:04}.hea").touch()
    said: list[str] = []
    data = fetch(tmp_path, said.append)
    assert said == []
    assert data.ptbxl == tmp_path / "ptbxl"
    assert [header.stem for header in data.cpsc][:2] == ["A0001", "A0002"]
    assert data.dicom.is_file()
