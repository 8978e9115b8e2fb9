import csv

import pytest

from cardex.api.recordings import load, one_recording_files
from cardex.domain.cases import Case, Sex
from cardex.domain.errors import InvalidReport
from cardex.domain.reports import Statement
from cardex.reports.ptbxl import (
    DUPLICATES,
    cases_of,
    distinct_reports,
    merge_statements,
    normalise,
    read_descriptions,
    read_records,
    read_representative,
    report_id,
)
from cardex.signals.readers import read

COLUMNS = ["ecg_id", "patient_id", "report", "scp_codes", "strat_fold", "filename_lr"]
NORMAL = ["1", "15709.0", "sinusrhythmus normales ekg", "{'NORM': 100.0, 'SR': 0.0}", "3", "r/1_lr"]


def row(**changes: str) -> list[str]:
    return [changes.get(name, value) for name, value in zip(COLUMNS, NORMAL, strict=True)]


@pytest.fixture
def folder(tmp_path):
    def write(*rows: list[str], columns: list[str] = COLUMNS):
        with (tmp_path / "ptbxl_database.csv").open("w", newline="", encoding="utf-8") as lines:
            csv.writer(lines).writerows([columns, *rows])
        return tmp_path

    return write


def test_a_record_has_its_row(folder):
    (record,) = read_records(folder(row()))
    assert (record.ecg_id, record.patient_id, record.fold) == (1, 15709, 3)
    assert (record.text, record.path) == ("sinusrhythmus normales ekg", "r/1_lr")
    assert record.codes == {"NORM": 100.0, "SR": 0.0}
    assert (record.site, record.device) == ("", "")
    assert not record.abnormal


def test_site_and_device_are_read_where_the_table_has_them(folder):
    columns = [*COLUMNS, "site", "device"]
    rows = [[*row(), "2.0", "CS-12   E"], [*row(scp_codes="{'AFIB': 0.0}"), "", ""]]
    first, second = read_records(folder(*rows, columns=columns))
    assert (first.site, first.device) == ("2", "CS-12 E")
    assert (second.site, second.device, second.abnormal) == ("", "", True)


def test_a_record_without_codes_is_neither_normal_nor_abnormal(folder):
    (record,) = read_records(folder(row(scp_codes="{}")))
    assert (record.coded, record.abnormal) == (False, False)


def test_the_representative_ids_are_those_of_the_list(folder):
    path = folder(row())
    assert read_representative(path) == frozenset()
    (path / "derived_100hz.txt").write_text("2000\n2008\n")
    assert read_representative(path) == {2000, 2008}
    (path / "derived_100hz.txt").write_text("2000\nsome\n")
    with pytest.raises(InvalidReport, match="one record number in a line"):
        read_representative(path)


def test_records_of_one_text_are_one_report(folder):
    reports = distinct_reports(
        folder(
            row(ecg_id="1"),
            row(ecg_id="2", report="sinus rhythm. normal ecg."),
            row(ecg_id="3", report="  sinusrhythmus \n normales ekg "),
        )
    )
    assert [(r.text, r.record_ids, r.record_count) for r in reports] == [
        ("sinusrhythmus normales ekg", ("1", "3"), 2),
        ("sinus rhythm. normal ecg.", ("2",), 1),
    ]


def test_a_report_has_the_language_of_its_text_and_a_stable_id(folder):
    (report,) = distinct_reports(folder(row()))
    assert report.language == "de"
    assert report.report_id == report_id("sinusrhythmus normales ekg") == "00a997d68f81d347"


def test_records_without_a_report_are_left_out(folder):
    assert distinct_reports(folder(row(report=" "))) == []


def test_statements_carry_the_words_of_the_other_table(folder, tmp_path):
    (tmp_path / "scp_statements.csv").write_text(",description,diagnostic\nNORM,normal ECG,1.0\n")
    (report,) = distinct_reports(folder(row()))
    words = {statement.code: statement.description for statement in report.statements}
    assert words == {"NORM": "normal ECG", "SR": ""}


def test_without_the_other_table_statements_have_no_words(tmp_path):
    assert read_descriptions(tmp_path) == {}


@pytest.mark.parametrize(
    "content",
    ["", ",words\nNORM,normal ECG\n", ",description\nNORM\n"],
    ids=["empty", "a column missing", "half a row"],
)
def test_a_damaged_table_of_statements_is_refused(tmp_path, content):
    (tmp_path / "scp_statements.csv").write_text(content)
    with pytest.raises(InvalidReport, match=r"scp_statements\.csv"):
        read_descriptions(tmp_path)


def test_a_missing_table_is_refused_with_its_name(tmp_path):
    with pytest.raises(InvalidReport, match=r"ptbxl_database\.csv does not exist"):
        read_records(tmp_path)


@pytest.mark.parametrize(
    "bad",
    [
        row(ecg_id="one"),
        row(patient_id=""),
        row(strat_fold="third"),
        row(scp_codes="{'NORM': 100.0"),
        row(scp_codes="['NORM']"),
        row(scp_codes="{'NORM': 'sure'}"),
        row(scp_codes="__import__('os').getcwd()"),
        row()[:2],
    ],
    ids=[
        "id",
        "patient",
        "fold",
        "half a code",
        "a list",
        "no number",
        "code to run",
        "half a row",
    ],
)
def test_a_bad_row_is_refused_with_its_line(folder, bad):
    with pytest.raises(InvalidReport, match=r"ptbxl_database\.csv, line 3: "):
        read_records(folder(row(), bad))


def test_the_line_is_that_of_the_file_where_a_report_has_several(folder):
    with pytest.raises(InvalidReport, match="line 5: "):
        read_records(folder(row(report="sinusrhythmus\nnormales\nekg"), row(ecg_id="one")))


def test_tables_that_are_not_in_utf_8_are_refused_with_their_names(folder):
    path = folder(row(report="überdrehter linkstyp"))
    table = path / "ptbxl_database.csv"
    table.write_bytes(table.read_text("utf-8").encode("latin-1"))
    with pytest.raises(InvalidReport, match=r"ptbxl_database\.csv cannot be read as CSV in UTF-8"):
        read_records(path)
    (path / "scp_statements.csv").write_bytes(b",description\nNORM,normales EKG f\xfcr sich\n")
    with pytest.raises(InvalidReport, match=r"scp_statements\.csv cannot be read as CSV in UTF-8"):
        read_descriptions(path)


def test_a_table_without_a_column_is_refused(folder):
    with pytest.raises(InvalidReport, match="'report'"):
        read_records(
            folder(row(), columns=["report_text" if c == "report" else c for c in COLUMNS])
        )


def merged(*records: dict[str, float]) -> dict[str, Statement]:
    return {statement.code: statement for statement in merge_statements(records, {})}


def test_the_likelihood_is_the_mean_over_the_records_that_give_one():
    assert merged({"IMI": 100.0}, {"IMI": 50.0}, {"IMI": 0.0})["IMI"].likelihood == 75.0


def test_a_likelihood_that_no_record_gives_is_none():
    assert merged({"SR": 0.0}, {"SR": 0.0})["SR"].likelihood is None


def test_the_support_is_the_share_of_records_that_carry_the_code():
    found = merged({"SR": 0.0, "IMI": 15.0}, {"SR": 0.0}, {"SR": 0.0}, {"LVH": 50.0})
    assert {code: s.support for code, s in found.items()} == {"SR": 0.75, "IMI": 0.25, "LVH": 0.25}


def test_the_rarest_code_of_a_very_common_report_keeps_a_support():
    records = [{"SR": 0.0}] * 30_000 + [{"IMI": 50.0}]
    assert merged(*records)["IMI"].support > 0.0


def test_the_most_supported_statement_comes_first_then_the_likeliest():
    found = merge_statements([{"B": 0.0, "C": 50.0, "D": 80.0}, {"B": 0.0}], {})
    assert [statement.code for statement in found] == ["B", "D", "C"]


@pytest.mark.parametrize("text", ["a b", " a  b ", "a\n\tb", "a\u00a0b"])
def test_white_space_is_collapsed_and_words_are_kept(text):
    assert normalise(text) == "a b"


def test_equal_texts_have_equal_ids_and_others_others():
    assert report_id("a") == report_id("a") != report_id("b")
    assert len(report_id("a")) == 16


# All of PTB-XL's reports.


@pytest.fixture(scope="module")
def whole(shared):
    return distinct_reports(shared / "ptbxl")


def test_every_record_stands_behind_one_report(whole):
    ids = [int(record_id) for report in whole for record_id in report.record_ids]
    assert len(ids) == len(set(ids)) == sum(report.record_count for report in whole) == 21_835
    assert set(ids) >= DUPLICATES


def test_every_report_has_an_id_of_its_own(whole):
    assert len({report.report_id for report in whole}) == len(whole)


def test_the_language_of_nearly_every_report_is_told(whole):
    languages = [report.language for report in whole]
    assert {"de", "en", "sv"} <= set(languages)
    assert languages.count("") < 0.05 * len(languages)


# Cases.


def sources_of(folder, *values: tuple[str, str, str]):
    """Return the cases of records with these ages, sexes and dates."""
    columns = [*COLUMNS, "age", "sex", "recording_date"]
    rows = [[*row(ecg_id=str(number)), *cells] for number, cells in enumerate(values, start=1)]
    return list(cases_of(folder(*rows, columns=columns)))


def test_a_case_has_age_sex_and_month_of_its_record(folder):
    first, second = sources_of(
        folder, ("56.0", "1", "1984-11-09 09:17:34"), ("", "0", "2001-06-11 16:43:01")
    )
    assert (first.case.age, first.case.sex, first.case.month) == (56, Sex.FEMALE, "1984-11")
    assert (second.case.age, second.case.sex, second.case.month) == (None, Sex.MALE, "2001-06")


@pytest.mark.parametrize("age", ["90.0", "95.0", "300.0"])
def test_nobody_is_told_by_an_age_over_89(folder, age):
    (source,) = sources_of(folder, (age, "", ""))
    assert (source.case.age, source.case.sex, source.case.month) == (90, Sex.UNKNOWN, "")


@pytest.mark.parametrize("cells", [("old", "0", ""), ("50", "2", ""), ("50", "0", "in 1984")])
def test_a_cell_that_means_nothing_is_refused_by_its_line(folder, cells):
    with pytest.raises(InvalidReport, match=r"ptbxl_database\.csv, line 2"):
        sources_of(folder, cells)


def test_a_record_without_report_and_a_duplicate_are_no_cases(folder):
    path = folder(row(ecg_id="1", report=" "), row(ecg_id=str(min(DUPLICATES))), row(ecg_id="2"))
    assert [source.case.case_id for source in cases_of(path)] == ["2"]


def test_an_ecg_is_there_with_its_samples_alone(folder):
    path = folder(row(filename_lr="r/1_lr"), row(ecg_id="2", filename_lr="r/2_lr"))
    (path / "r").mkdir()
    for name in ("1_lr.hea", "1_lr.dat", "2_lr.hea", "2_lr.dat.part"):
        (path / "r" / name).touch()
    first, second = cases_of(path)
    assert (first.ecg, first.case.has_ecg) == (path / "r" / "1_lr.hea", True)
    assert (second.ecg, second.case.has_ecg) == (None, False)


def test_the_real_records_are_cases(shared):
    folder = shared / "ptbxl"
    sources = {source.case.case_id: source for source in cases_of(folder)}
    records = {str(record.ecg_id): record for record in read_records(folder)}
    unusable = {key for key, record in records.items() if not record.text}
    assert len(unusable) == 2
    assert sources.keys() == records.keys() - {str(one) for one in DUPLICATES} - unusable
    one = sources["1"]
    assert one.case == Case(
        case_id="1",
        text="sinusrhythmus periphere niederspannung",
        age=56,
        sex=Sex.FEMALE,
        month="1984-11",
        language="de",
        device="CS-12 E",
        statements=(
            Statement("NORM", "normal ECG", 100.0),
            Statement("LVOLT", "low QRS voltages in the frontal and horizontal leads", None),
            Statement("SR", "sinus rhythm", None),
        ),
        has_ecg=True,
    )
    assert one.ecg is not None
    assert read(load(one_recording_files(one.ecg))).signal.shape == (12, 1000)
    ages = [source.case.age for source in sources.values()]
    assert max(age for age in ages if age is not None) == 90
    assert ages.count(90) == 204
    assert ages.count(None) == 89
    assert sum(source.case.has_ecg for source in sources.values()) > 3_000
    assert {len(source.case.month) for source in sources.values()} == {7}
