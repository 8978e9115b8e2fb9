from pathlib import Path

import numpy as np
import pytest
import wfdb

from cardex.domain.ecg import LEADS
from cardex.domain.errors import InvalidEcg, InvalidReport
from cardex.evaluation.manifest import read_manifest, read_signal
from tests.helpers import formats

HEADER = "file,report,codes,fold,patient\n"


@pytest.fixture
def manifest(tmp_path: Path):
    """Write a manifest; every file that `files` names is there, empty."""

    def write(content: str | bytes, files: str = "a.dcm b.dcm c.dcm") -> Path:
        for name in files.split():
            (tmp_path / name).touch()
        path = tmp_path / "manifest.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def write_wfdb(folder: Path, signal: np.ndarray, name: str = "rec") -> None:
    wfdb.wrsamp(
        name, fs=500, units=["mV"] * 12, sig_name=list(LEADS), p_signal=signal.T.astype(float),
        fmt=["16"] * 12, write_dir=str(folder),
    )  # fmt: skip


def test_a_row_becomes_a_record(manifest):
    (record,) = read_manifest(manifest(HEADER + 'a.dcm,"sinus  rhythm, normal",NORM:80;SR,10,p7\n'))
    assert (record.path, record.text, record.fold) == ("a.dcm", "sinus rhythm, normal", 10)
    assert record.codes == {"NORM": 80.0, "SR": 0.0}
    assert record.ecg_id == record.patient_id == 1


def test_file_and_report_are_enough(manifest):
    first, second = read_manifest(manifest("report,file\nx,a.dcm\ny,b.dcm\n"))
    assert (first.fold, first.codes) == (1, {})
    assert first.patient_id != second.patient_id


def test_a_table_of_a_spreadsheet_is_read(manifest):
    content = "\ufefffile,report\r\na.dcm,Überdrehter Linkstyp\r\n".encode()
    assert read_manifest(manifest(content))[0].text == "Überdrehter Linkstyp"


def test_the_ecgs_of_a_patient_have_one_number(manifest):
    rows = HEADER + "a.dcm,x,,1,p\nb.dcm,y,,8,q\nc.dcm,z,,7,p\n"
    assert [record.patient_id for record in read_manifest(manifest(rows))] == [1, 2, 1]


def test_rows_without_a_report_are_left_out(manifest, caplog):
    rows = HEADER + "a.dcm, ,,1,\nb.dcm,y,,1,\n"
    assert [record.path for record in read_manifest(manifest(rows))] == ["b.dcm"]
    assert "1 rows without a report" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty: it needs a header row with file and report"),
        ("path,text\na,b\n", "line 1: the column file and report is missing"),
        ("file;report\na;b\n", "split by commas"),
        (HEADER, "no row with a report: fill the column report"),
        (HEADER + "a.dcm,,,1,\n", "no row with a report"),
        (HEADER + ",sinus,,1,\n", "line 2: file is missing"),
        (HEADER + "a.dcm,x,,1,\nb.dcm,y,,1,\na.dcm,z,,1,\n", "line 4: a.dcm stands in line 2 too"),
        (HEADER + "a.dcm,x,,1,\n./a.dcm,z,,1,\n", "line 3: ./a.dcm stands in line 2 too"),
        (HEADER + "a.dcm,x,NORM:many,1,\n", "line 2: codes: 'many' is no likelihood"),
        (HEADER + "a.dcm,x,,11,\n", "line 2: fold '11': give 1 to 7"),
        (HEADER + "a.dcm,x,,first,\n", "line 2: fold 'first'"),
        (
            HEADER + "a.dcm,x,,1,p\nb.dcm,y,,10,p\n",
            "line 3: this patient is in fold 10 and.* fold 1",
        ),
        (HEADER + "a.dcm,x,,9,p\nb.dcm,y,,10,p\n", "line 3: this patient"),
        (
            HEADER + "a.dcm,x,,7,p\nb.dcm,y,,8,p\n",
            "line 3: this patient is in fold 8 and.* fold 7.*can neither calibrate",
        ),
        (HEADER + "a.dcm,x,,8,p\nb.dcm,y,,9,p\n", "line 3: this patient"),
        (b"file,report\na.dcm,\xfcberdreht\n", "is not in UTF-8"),
    ],
)
def test_what_is_wrong_is_told_with_line_and_remedy(manifest, content, message):
    with pytest.raises(InvalidReport, match=message):
        read_manifest(manifest(content))


def test_no_manifest_is_told(tmp_path):
    with pytest.raises(InvalidReport, match=r"none\.csv cannot be read"):
        read_manifest(tmp_path / "none.csv")


def test_missing_files_are_named_and_counted(manifest):
    rows = HEADER + "".join(f"{number}.dcm,x,,1,\n" for number in range(14)) + "a.dcm,x,,1,\n"
    with pytest.raises(InvalidReport, match=r"14 ECG files do not exist") as caught:
        read_manifest(manifest(rows))
    assert "0.dcm, 1.dcm, " in caught.value.message
    assert "9.dcm and 4 more" in caught.value.message
    assert "10.dcm" not in caught.value.message


def test_every_format_gives_the_same_window(manifest, tmp_path, beats):
    write_wfdb(tmp_path, beats)
    (tmp_path / "a.dcm").write_bytes(formats.written(formats.dicom(beats)))
    (tmp_path / "b.csv").write_bytes(formats.table(beats))
    path = manifest("file,report\nrec.hea,x\na.dcm,x\nb.csv,x\n", files="")
    signals = [read_signal(tmp_path, record) for record in read_manifest(path)]
    for signal in signals:
        assert signal.shape == (12, 1000)
        assert signal.dtype == np.float32
        np.testing.assert_allclose(signal, signals[0], atol=2e-3)
    assert signals[0].max() > 0.5


def test_a_record_may_lie_in_a_folder_below(manifest, tmp_path, beats):
    (tmp_path / "below").mkdir()
    write_wfdb(tmp_path / "below", beats)
    (record,) = read_manifest(manifest("file,report\nbelow/rec.hea,x\n"))
    assert read_signal(tmp_path, record).shape == (12, 1000)


def test_a_file_that_is_no_ecg_is_named(manifest, tmp_path):
    (record,) = read_manifest(manifest("file,report\na.dcm,x\n"))
    (tmp_path / "a.dcm").write_bytes(b"no ECG")
    with pytest.raises(InvalidEcg, match=r"a\.dcm: not an ECG format") as caught:
        read_signal(tmp_path, record)
    assert caught.value.reason == "NOT_AN_ECG"


def test_a_header_without_its_signals_is_named(manifest, tmp_path, beats):
    write_wfdb(tmp_path, beats)
    (record,) = read_manifest(manifest("file,report\nrec.hea,x\n"))
    (tmp_path / "rec.dat").unlink()
    with pytest.raises(InvalidEcg, match=r"rec\.hea: the header names a file"):
        read_signal(tmp_path, record)


def test_a_file_that_went_away_is_named(manifest, tmp_path):
    (record,) = read_manifest(manifest("file,report\na.dcm,x\n"))
    (tmp_path / "a.dcm").unlink()
    with pytest.raises(InvalidEcg, match=r"a\.dcm cannot be read: No such file"):
        read_signal(tmp_path, record)
