import json
import logging
import os

import pytest

from cardex.domain.settings import Settings
from cardex.telemetry import JsonFormatter, mark_alive, mark_ready, mark_starting, mark_stopping


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


def test_a_process_says_by_a_file_that_it_is_ready(tmp_path):
    mark_ready(Settings(ready_file=tmp_path / "ready"))
    assert (tmp_path / "ready").exists()


def test_a_process_that_stops_is_ready_no_more(tmp_path):
    settings = Settings(ready_file=tmp_path / "ready")
    mark_ready(settings)
    mark_stopping(settings)
    mark_stopping(settings)
    assert not (tmp_path / "ready").exists()


def test_a_process_that_starts_takes_away_what_one_that_died_left(tmp_path):
    settings = Settings(ready_file=tmp_path / "ready", alive_file=tmp_path / "alive")
    mark_ready(settings)
    mark_alive(settings)
    mark_starting(settings)
    assert list(tmp_path.iterdir()) == []


def test_the_age_of_a_file_says_that_a_process_gets_on(tmp_path):
    alive = tmp_path / "alive"
    mark_alive(Settings(alive_file=alive))
    os.utime(alive, (0, 0))
    mark_alive(Settings(alive_file=alive))
    assert alive.stat().st_mtime > 0


def test_a_process_that_nobody_watches_says_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mark_ready(Settings())
    mark_alive(Settings())
    mark_stopping(Settings())
    assert list(tmp_path.iterdir()) == []
