import numpy as np
import pytest

from cardex.domain.ecg import LEADS
from cardex.domain.errors import InvalidEcg
from cardex.signals.formats.csv import matches
from cardex.signals.readers import read
from tests.helpers.ecgs import ecg
from tests.helpers.formats import dicom, edf, ishne, one, table, written

FILE = "ecg.file.content"
PRINTED = 6e-5  # mV; four digits


def refused(content: bytes) -> InvalidEcg:
    with pytest.raises(InvalidEcg) as caught:
        read(one(content))
    assert caught.value.field == FILE
    return caught.value


def timed(rate: float, *, name: str = "time (s)", digits: int = 6, scale: float = 1.0) -> bytes:
    """A table of 10 s whose rate stands in a column of times."""
    signal = ecg(rate=rate)
    rows = [
        ",".join([f"{n / rate * scale:.{digits}f}", *(f"{value:.4f}" for value in column)])
        for n, column in enumerate(signal.T)
    ]
    head = ",".join([name, *(f"{lead} (mV)" for lead in LEADS)])
    return "\n".join([head, *rows]).encode()


def test_a_table_is_read_as_it_was_written():
    waveform = read(one(table(ecg())))
    np.testing.assert_allclose(waveform.signal, ecg(), rtol=0, atol=PRINTED)
    assert (waveform.rate, waveform.source) == (500.0, "CSV")


@pytest.mark.parametrize(
    "line",
    ["# rate: 500", "#rate_hz=500", "# fs: 500 Hz", "# Sampling_Rate: 500Hz", "# sample rate : 500",
     "## sample_rate: 500.0"],
)  # fmt: skip
def test_the_rate_is_said_in_a_comment(line):
    assert read(one(table(ecg(), head=f"# a note\n{line}\n# unit: mV\n"))).rate == 500.0


@pytest.mark.parametrize(("unit", "scale"), [("uV", 1e3), ("µV", 1e3), ("mV", 1.0), ("V", 1e-3)])
def test_the_unit_is_said_in_a_comment(unit, scale):
    head = f"# rate_hz: 500\n# unit: {unit}\n"
    waveform = read(one(table(ecg() * scale, head=head)))
    np.testing.assert_allclose(waveform.signal, ecg(), rtol=0, atol=max(PRINTED / scale, 2e-7))


@pytest.mark.parametrize("form", ["{} (mV)", "{}[mV]", "ECG {} [mv]", '"{} (mV)"'])
def test_the_unit_is_said_in_the_column_names(form):
    content = table(ecg(), head="# rate_hz: 500\n").decode()
    content = content.replace(",".join(LEADS), ",".join(form.format(lead) for lead in LEADS))
    np.testing.assert_allclose(read(one(content.encode())).signal, ecg(), rtol=0, atol=PRINTED)


def test_each_column_may_have_a_unit_of_its_own():
    signal = ecg()
    signal[6:] *= 1000.0
    names = [f"{lead} ({'mV' if n < 6 else 'uV'})" for n, lead in enumerate(LEADS)]
    content = table(signal, head="# rate_hz: 500\n").replace(
        ",".join(LEADS).encode(), ",".join(names).encode()
    )
    np.testing.assert_allclose(read(one(content)).signal, ecg(), rtol=0, atol=PRINTED)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_delimiters_line_ends_and_byte_order_marks_are_told(delimiter, end, mark):
    text = table(ecg(), delimiter=delimiter).decode().replace("\n", end)
    waveform = read(one((mark + text).encode()))
    np.testing.assert_allclose(waveform.signal, ecg(), rtol=0, atol=PRINTED)


def test_a_decimal_comma_is_read_where_the_delimiter_is_a_semicolon():
    content = table(ecg(), delimiter=";").replace(b".", b",")
    np.testing.assert_allclose(read(one(content)).signal, ecg(), rtol=0, atol=PRINTED)


def test_latin_letters_are_read():
    head = "# rate_hz: 500\n# unit: µV\n"
    content = table(ecg() * 1000, head=head).decode().encode("latin-1")
    np.testing.assert_allclose(read(one(content)).signal, ecg(), rtol=0, atol=PRINTED)


def test_other_columns_are_ignored_whatever_they_hold():
    lines = table(ecg()).decode().splitlines()
    lines = [*lines[:2], f"{lines[2]},note", *(f"{line},resting" for line in lines[3:])]
    waveform = read(one("\n".join(lines).encode()))
    np.testing.assert_allclose(waveform.signal, ecg(), rtol=0, atol=PRINTED)


@pytest.mark.parametrize(
    ("rate", "name", "digits", "scale"),
    [
        (500.0, "time (s)", 6, 1.0),
        (500.0, "Time [ms]", 3, 1e3),
        (500.0, "t (s)", 3, 1.0),
        (500.0, "time_ms", 0, 1e3),
        (360.0, "time_s", 4, 1.0),
        (128.0, "t [ms]", 1, 1e3),
        (257.3, "time (s)", 7, 1.0),
    ],
)
def test_the_rate_is_told_by_a_column_of_times(rate, name, digits, scale):
    waveform = read(one(timed(rate, name=name, digits=digits, scale=scale)))
    assert waveform.rate == pytest.approx(rate, rel=1e-6)
    assert waveform.signal.shape[1] == round(10 * rate)


def test_a_comment_and_times_that_agree_are_read():
    assert read(one(b"# rate_hz: 500\n" + timed(500.0))).rate == 500.0


@pytest.mark.parametrize("at", [10, 2500, 4990])
def test_uneven_times_are_refused(at):
    lines = timed(500.0).splitlines()
    del lines[at]
    assert refused(b"\n".join(lines)).reason == "SAMPLING_RATE"


@pytest.mark.parametrize(
    "content",
    [
        timed(500.0, digits=2),
        b"# rate_hz: 250\n" + timed(500.0),
        timed(500.0).replace(b"\n0.000000,", b"\n9.000000,"),
        timed(500.0).replace(b"\n0.500000,", b"\nnan,"),
        timed(500.0, scale=0.0),
        timed(500.0, scale=-1.0),
        table(ecg(), head="# rate_hz: fast\n# unit: mV\n"),
    ],
    ids=["coarse", "contradiction", "backwards", "nan", "still", "reversed", "words"],
)
def test_a_rate_that_cannot_be_told_is_refused(content):
    assert refused(content).reason == "SAMPLING_RATE"


def test_a_missing_rate_is_refused_with_the_remedy():
    error = refused(table(ecg(), head="# unit: mV\n"))
    assert error.reason == "SAMPLING_RATE"
    assert '"# rate_hz: 500"' in error.message


def test_times_without_a_unit_tell_no_rate():
    assert refused(timed(500.0, name="time")).reason == "SAMPLING_RATE"


def test_a_missing_unit_is_refused_with_the_remedy():
    error = refused(table(ecg(), head="# rate_hz: 500\n"))
    assert error.reason == "UNIT"
    assert '"# unit: mV"' in error.message


def test_an_unknown_unit_is_refused():
    assert refused(table(ecg(), head="# rate_hz: 500\n# unit: mmHg\n")).reason == "UNIT"


def test_a_lead_that_stands_twice_is_refused():
    content = table(ecg()).replace(b"V6\n", b"Lead V5\n")
    assert refused(content).reason == "LEAD_SET"


def test_a_missing_lead_is_refused():
    assert refused(table(ecg()).replace(b"V6\n", b"RESP\n")).reason == "LEAD_SET"


@pytest.mark.parametrize("cell", ["Jane Doe", "", "1,2", "0x1f"])
def test_a_row_that_holds_no_numbers_is_refused_and_not_quoted(cell):
    lines = table(ecg()).decode().splitlines()
    cells = lines[40].split(",")
    lines[40] = ",".join([*cells[:11], cell, *cells[12:]]) if cell else ",".join(cells[:11])
    if cell == "1,2":
        assert read(one("\n".join(lines).encode())).rate == 500.0  # a cell too many, at the end
        return
    error = refused("\n".join(lines).encode())
    assert error.reason == "TRUNCATED_ECG"
    assert "line 41 of the table" in error.message
    assert "Jane" not in error.message


@pytest.mark.parametrize("rest", [b"", b"\n\n  \n"])
@pytest.mark.parametrize("name", [b"V6", b"time (s)"])
def test_a_table_without_rows_is_refused(rest, name):
    content = (
        table(ecg()[:, :0]).replace(b"V6", b"V6," + name) if name != b"V6" else table(ecg()[:, :0])
    )
    assert refused(content + rest).reason == "TRUNCATED_ECG"


def test_a_table_that_breaks_off_is_refused():
    assert refused(table(ecg())[:-40]).reason == "TRUNCATED_ECG"


@pytest.mark.parametrize("number", ["nan", "inf", "1e39"])
def test_numbers_that_are_none_are_refused(number):
    lines = table(ecg()).decode().splitlines()
    lines[40] = ",".join([number, *lines[40].split(",")[1:]])
    assert refused("\n".join(lines).encode()).reason == "NOT_FINITE"


def test_a_longer_table_is_refused_before_it_is_parsed():
    content = b"# rate_hz: 500\n# unit: mV\n" + ",".join(LEADS).encode() + b"\n1" * 400_000
    assert refused(content).reason == "DURATION"


def test_no_other_format_is_taken_for_a_table(shared):
    formats = [path.read_bytes() for path in (shared / "formats").iterdir()]
    formats += [ishne(ecg()), edf(ecg()), written(dicom(ecg()))]
    formats += [b"I am, II tell you, not a table", b"", b"I;II", b"# rate: 500\n"]
    assert [matches(content) for content in formats] == [False] * (len(formats) - 2) + [
        True,
        False,
    ]


def test_line_ends_of_all_kinds_may_stand_together():
    lines = table(ecg()).split(b"\n")
    mixed = b"\n".join(lines[:-60]) + b"\n" + b"\r".join(lines[-60:])
    np.testing.assert_array_equal(read(one(mixed)).signal, read(one(table(ecg()))).signal)


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_one_line_end_of_any_kind_serves_the_whole_file(end):
    content = table(ecg()).replace(b"\n", end.encode())
    np.testing.assert_array_equal(read(one(content)).signal, read(one(table(ecg()))).signal)


@pytest.mark.parametrize(
    "head",
    [
        "# rate_hz: 500,,,,,,,,,,,\n# unit: mV,,,,,,,,,,,\n",
        "# rate_hz: 500;;;;\n# unit: mV;;;;\n",
        '"# rate_hz: 500"\n"# unit: mV"\n',
        '"# rate_hz: 500, unit: mV",,,,\n',
        "# rate_hz: 500, unit: mV\n",
        "# unit=mV; fs=500 Hz\n",
        "# rate_hz: 500 unit: mV\n",
        "# rate_hz: 500,0;;;\n# unit: mV\n",
        "# sampling rate (Hz): 500\n# units: [mV]\n",
        "# sampling frequency: 500\n# unit: mV\n",
        "# Sampling frequency [Hz] = 500\n,,,,,\n# unit: mV\n",
        "# recorded 10:30, sample frequency: 500\n# unit: mV\n",
    ],
)
def test_comments_are_read_as_spreadsheets_and_people_write_them(head):
    assert read(one(table(ecg(), head=head))).rate == 500.0


def test_a_heart_rate_is_no_sampling_rate():
    head = "# heart rate: 72\n# line frequency: 50\n# unit: mV\n"
    assert refused(table(ecg(), head=head)).reason == "SAMPLING_RATE"


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "sep=;;;;"])
def test_a_line_that_names_the_delimiter_is_understood(first):
    content = table(ecg(), head=f"{first}\n# rate_hz: 500\n# unit: mV\n", delimiter=";")
    content = content.replace(b".", b",")
    np.testing.assert_allclose(read(one(content)).signal, ecg(), rtol=0, atol=PRINTED)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_text_of_two_bytes_a_letter_is_read(encoding):
    head = "# rate_hz: 500\n# unit: µV\n"
    text = table(ecg() * 1000, head=head, delimiter="\t").decode().replace("\n", "\r\n")
    content = ("\ufeff" + text).encode(encoding)
    assert matches(content[:16_384])
    np.testing.assert_allclose(read(one(content)).signal, ecg(), rtol=0, atol=PRINTED)
    assert refused(content[:-90]).reason == "TRUNCATED_ECG"


def test_a_decimal_comma_is_read_where_the_delimiter_is_a_tab():
    content = table(ecg(), delimiter="\t").replace(b".", b",")
    np.testing.assert_allclose(read(one(content)).signal, ecg(), rtol=0, atol=PRINTED)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_rows_that_are_filled_up_with_delimiters_are_read(delimiter):
    lines = table(ecg(), delimiter=delimiter).decode().splitlines()
    lines = [*lines[:2], *(line + 3 * delimiter for line in lines[2:]), 15 * delimiter, ""]
    waveform = read(one("\n".join(lines).encode()))
    np.testing.assert_allclose(waveform.signal, ecg(), rtol=0, atol=PRINTED)


@pytest.mark.parametrize("name", ["Time [sec]", "time (seconds)", "Timestamp (s)", "t_sec"])
def test_times_have_names_and_units_of_many_kinds(name):
    assert read(one(timed(500.0, name=name))).rate == 500.0


@pytest.mark.parametrize("rate", [100.0, 1000.0])
def test_exact_times_are_read_at_rates_whose_step_is_a_printed_place(rate):
    assert read(one(timed(rate, digits=3))).rate == rate


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("row", ["", "1,2,3", ",,,,,,,,,,,", "1,2,3,4,5,6,7,8,9,10,eleven,12"])
def test_errors_name_the_line_of_the_file(end, row):
    head = "# rate_hz: 500\n\n# unit: mV\n"
    lines = table(ecg(), head=head).decode().splitlines()
    lines[10:10] = ["", ""]  # which numpy does not count
    lines[40] = row or "x"
    assert refused(end.join(lines).encode()).message.startswith("line 41 of the table")
    lines[4:] = ["x"]
    assert refused(end.join(lines).encode()).message.startswith("line 5 of the table")


def test_a_table_that_is_too_long_is_not_said_to_have_a_header():
    error = refused(table(np.tile(ecg(rate=50.0), 61), head="# rate_hz: 50\n# unit: mV\n"))
    assert error.reason == "DURATION"
    assert "header" not in error.message
    assert "610 s" in error.message


def test_a_comment_of_nothing_but_spaces_costs_nothing():
    assert not matches(b"#" + b" " * 16_000 + b"!\n")


def test_a_table_starts_no_other_format():
    assert read(one(table(ecg()))).source == "CSV"
    head = "# rate_hz: 500\n# unit: mV\n# <restingecgdata> DICM ISHNE1.0\n"
    assert read(one(table(ecg(), head=head))).source == "CSV"
