import tracemalloc
from itertools import islice

import pytest

from cardex.domain.cases import Case, Sex
from cardex.domain.errors import InvalidReport
from cardex.domain.reports import Statement
from cardex.reports import cases_csv
from cardex.reports.cases_csv import read_cases

HEADER = "case_id,report,path,age,sex,month,language,device,codes"


@pytest.fixture
def manifest(tmp_path):
    def write(*lines: str, header: str = HEADER):
        path = tmp_path / "manifest.csv"
        path.write_text("\n".join([header, *lines, ""]), encoding="utf-8")
        return path

    return write


def test_a_row_becomes_a_case_with_its_ecg(manifest, tmp_path):
    (tmp_path / "ecgs").mkdir()
    header = tmp_path / "ecgs" / "1.hea"
    header.touch()
    row = '1.2.840:7,"Sinus  rhythm, old infarct",ecgs/1.hea,56,F,2026-11,en,CS-12   E,IMI:80;SR'
    (source,) = read_cases(manifest(row))
    assert source.ecg == header
    assert source.case == Case(
        case_id="1.2.840:7",
        text="Sinus rhythm, old infarct",
        age=56,
        sex=Sex.FEMALE,
        month="2026-11",
        language="en",
        device="CS-12 E",
        statements=(Statement("IMI", "", 80.0), Statement("SR", "", None)),
        has_ecg=True,
    )


def test_two_columns_are_enough(manifest):
    row = "a/1,sinusrhythmus normales ekg"
    (source,) = read_cases(manifest(row, header="\ufeffcase_id,report"))
    expected = Case(case_id="a/1", text="sinusrhythmus normales ekg", language="de")
    assert (source.case, source.ecg) == (expected, None)


@pytest.mark.parametrize(
    ("column", "cell", "attribute", "value"),
    [
        ("age", "", "age", None),
        ("age", "0", "age", 0),
        ("age", "56.0", "age", 56),
        ("sex", "m", "sex", Sex.MALE),
        ("sex", "Male", "sex", Sex.MALE),
        ("sex", "female", "sex", Sex.FEMALE),
        ("sex", "", "sex", Sex.UNKNOWN),
        ("month", "2026-11-24", "month", "2026-11"),
        ("month", "1984-11-09 09:17:34", "month", "1984-11"),
        ("month", "2026-11-24T09:17:34Z", "month", "2026-11"),
        ("month", "", "month", ""),
        ("language", "SV", "language", "sv"),
        ("codes", " ; ", "statements", ()),
    ],
)
def test_cells_may_be_written_in_several_ways(manifest, column, cell, attribute, value):
    (source,) = read_cases(manifest(f"1,normal ecg,{cell}", header=f"case_id,report,{column}"))
    assert getattr(source.case, attribute) == value


@pytest.mark.parametrize(
    ("column", "cell", "remedy"),
    [
        ("age", "old", "write years, 0 to 150"),
        ("age", "-1", "write years"),
        ("age", "300", "write years"),
        ("age", "nan", "write years"),
        ("sex", "W", "write F, M, female or male"),
        ("month", "24.11.2026", "write 2026-11"),
        ("month", "2026-13", "write 2026-11"),
        ("month", "2026-11-32", "write 2026-11"),
        ("language", "German (DE)", "write a code such as de"),
        ("device", "x" * 65, "at most 64"),
        ("codes", "IMI:200", "likelihood in per cent"),
        ("codes", ":80", "write CODE or CODE:LIKELIHOOD"),
        ("codes", ";".join(f"C{number}" for number in range(101)), "at most 100"),
        ("path", "none.hea", "from the folder of the CSV"),
        ("path", ".", "from the folder of the CSV"),
        ("path", "a\0b", "what no file name can"),
    ],
)
def test_a_wrong_cell_is_refused_by_file_line_and_column(manifest, column, cell, remedy):
    rows = ["1,normal ecg,", f"2,normal ecg,{cell}"]
    path = manifest(*rows, header=f"case_id,report,{column}")
    sources = read_cases(path)
    assert next(sources).case.case_id == "1"
    with pytest.raises(InvalidReport) as caught:
        next(sources)
    assert caught.value.field == column
    assert caught.value.message.startswith(f"{path}, line 3: {column}: ")
    assert remedy in caught.value.message


@pytest.mark.parametrize("case_id", ["", "Müller", "a b", "a/b/c", "/a", "x" * 129])
def test_a_case_id_has_letters_and_digits(manifest, case_id):
    with pytest.raises(InvalidReport, match=r"line 2: case_id: .*letters, digits") as caught:
        list(read_cases(manifest(f"{case_id},normal ecg")))
    assert caught.value.field == "case_id"


@pytest.mark.parametrize(
    ("report", "problem"), [("", "is empty"), (" ", "is empty"), ("x" * 20_001, "at most 20000")]
)
def test_a_report_has_a_text_of_bounded_length(manifest, report, problem):
    with pytest.raises(InvalidReport, match=f"line 2: report: .*{problem}"):
        list(read_cases(manifest(f"1,{report}")))


def test_a_case_id_that_comes_twice_is_refused_with_both_lines(manifest):
    path = manifest('1,"two\nlines"', "2,normal ecg", "1,normal ecg", header="case_id,report")
    with pytest.raises(InvalidReport, match=r"line 5: case_id: '1' stands in line 3 already"):
        list(read_cases(path))


def test_two_case_ids_of_one_hash_are_two_cases(manifest, monkeypatch):
    monkeypatch.setattr(cases_csv, "hash", lambda text: 0, raising=False)
    path = manifest("1,normal ecg", "2,normal ecg", header="case_id,report")
    assert [source.case.case_id for source in read_cases(path)] == ["1", "2"]


@pytest.mark.parametrize(
    "header", ["", "record_id,text", "case_id;report", "case_id,report,report"]
)
def test_a_header_that_cannot_be_used_is_told_with_the_columns(manifest, header):
    with pytest.raises(
        InvalidReport, match=r"line 1: needs a header row.*case_id, report"
    ) as caught:
        list(read_cases(manifest("1,normal ecg,x", header=header)))
    assert caught.value.field == "header"


def test_a_comma_without_quotes_is_found(manifest):
    with pytest.raises(InvalidReport, match="line 2: report: more cells follow: put texts"):
        list(read_cases(manifest("1,sinus rhythm, normal ecg", header="case_id,report")))


@pytest.mark.parametrize(
    "content", [b"case_id,report\n1,\xfcber\n", b'case_id,report\n1,"open\n', b"\xff\xfec\0a\0"]
)
def test_what_is_no_csv_in_utf_8_is_refused(tmp_path, content):
    path = tmp_path / "manifest.csv"
    path.write_bytes(content)
    with pytest.raises(InvalidReport, match=r"about line \d: .*save it as CSV in UTF-8"):
        list(read_cases(path))


def test_a_file_that_is_not_there_or_holds_nothing_is_refused(manifest, tmp_path):
    with pytest.raises(InvalidReport, match="No such file"):
        list(read_cases(tmp_path / "none.csv"))
    with pytest.raises(InvalidReport, match="holds no case"):
        list(read_cases(manifest()))


def test_rows_are_read_as_they_are_asked_for_and_not_held(manifest):
    rows = (f"{number},{'normal ecg ' * 300},en" for number in range(5_000))
    path = manifest(*rows, header="case_id,report,language")
    assert path.stat().st_size > 16_000_000
    tracemalloc.start()
    try:
        assert len(list(islice(read_cases(path), 3))) == 3
        first = tracemalloc.get_traced_memory()[1]
        assert sum(1 for _ in read_cases(path)) == 5_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert first < 500_000
    assert peak < 2_000_000
