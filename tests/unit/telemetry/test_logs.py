import json
import logging

import pytest

from cardex.telemetry.logs import JsonFormatter


@pytest.fixture
def line():
    def format_record(message: str, *args: object, exc_info=None, **extra: object) -> dict:
        record = logging.LogRecord("cardex", logging.INFO, "f", 1, message, args, exc_info)
        record.__dict__.update(extra)
        text = JsonFormatter().format(record)
        assert "\n" not in text
        found: dict = json.loads(text)
        return found

    return format_record


def test_a_log_line_is_one_json_object(line):
    entry = line("%d jobs\nwait", 3)
    assert (entry["level"], entry["logger"], entry["message"]) == ("INFO", "cardex", "3 jobs\nwait")


def test_a_log_line_names_its_job(line):
    assert line("refused", job_id="j1")["job_id"] == "j1"
    assert "job_id" not in line("refused")


def test_a_log_line_has_the_traceback(line):
    try:
        raise ValueError("x")
    except ValueError as error:
        entry = line("failed", exc_info=(type(error), error, error.__traceback__))
    assert "ValueError" in entry["exception"]
