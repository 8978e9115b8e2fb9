import pytest

from cardex.domain.errors import InvalidReport
from cardex.domain.reports import Statement
from cardex.reports.csv import read_reports
from cardex.reports.ptbxl import report_id


@pytest.fixture
def table(tmp_path):
    def write(content: str | bytes):
        path = tmp_path / "own.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def test_a_row_becomes_a_report(table):
    (report,) = read_reports(
        table('record_id,text,language,codes\ne1,"sinus rhythm. normal ecg.",en,NORM:80;SR\n')
    )
    assert report.text == "sinus rhythm. normal ecg."
    assert report.report_id == report_id(report.text)
    assert (report.language, report.record_ids, report.record_count) == ("en", ("e1",), 1)
    assert report.statements == (Statement("NORM", "", 80.0, 1.0), Statement("SR", "", None, 1.0))


def test_rows_of_one_text_are_one_report_that_names_all_records(table):
    (report,) = read_reports(table("record_id,text\ne1,normal  ecg\ne2, normal ecg\n"))
    assert (report.record_ids, report.record_count) == (("e1", "e2"), 2)


def test_columns_come_in_any_order_and_others_are_ignored(table):
    (report,) = read_reports(table("age,text,record_id\n50,normal ecg,e1\n"))
    assert (report.text, report.record_ids) == ("normal ecg", ("e1",))


def test_the_language_is_guessed_where_it_is_missing(table):
    (report,) = read_reports(table("record_id,text\ne1,sinusrhythmus normales ekg\n"))
    assert report.language == "de"


def test_a_byte_order_mark_is_no_part_of_the_header(table):
    assert len(read_reports(table("\ufeffrecord_id,text\ne1,normal ecg\n"))) == 1


@pytest.mark.parametrize("header", ["", "id,text", "record_id,report", "normal ecg,e1"])
def test_a_missing_header_is_refused_with_the_columns(table, header):
    with pytest.raises(InvalidReport, match="needs a header row with record_id, text") as caught:
        read_reports(table(f"{header}\ne1,normal ecg\n"))
    assert caught.value.field == "header"


@pytest.mark.parametrize("likelihood", ["sure", "1O0", "nan", "150", "-5", "inf"])
def test_a_bad_likelihood_is_refused_with_its_line(table, likelihood):
    content = f"record_id,text,codes\ne1,normal ecg,NORM:80\ne2,old infarct,IMI:{likelihood}\n"
    with pytest.raises(InvalidReport, match=r"own\.csv, line 3: codes: ") as caught:
        read_reports(table(content))
    assert caught.value.field == "codes"


def test_a_likelihood_of_zero_is_none_given(table):
    (report,) = read_reports(table("record_id,text,codes\ne1,normal ecg,SR:0\n"))
    assert report.statements == (Statement("SR", "", None, 1.0),)


def test_a_text_without_its_record_is_refused_with_its_line(table):
    with pytest.raises(InvalidReport, match="line 3"):
        read_reports(table("text,record_id\nnormal ecg,e1\nold infarct\n"))


def test_rows_without_text_are_left_out(table):
    assert len(read_reports(table("record_id,text\ne1,\ne2,normal ecg\ne3\n"))) == 1


def test_a_table_without_any_report_is_refused(table):
    with pytest.raises(InvalidReport, match="holds no report"):
        read_reports(table("record_id,text\ne1,\n"))


def test_a_missing_file_is_refused_with_its_name(tmp_path):
    with pytest.raises(InvalidReport, match=r"none\.csv"):
        read_reports(tmp_path / "none.csv")


def test_a_file_that_is_no_text_is_refused(table):
    with pytest.raises(InvalidReport, match=r"own\.csv"):
        read_reports(table(b"record_id,text\ne1,\xff\xfe\x00\n"))
