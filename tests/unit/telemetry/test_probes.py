import os

from cardex.domain.settings import Settings
from cardex.telemetry.probes import mark_alive, mark_ready, mark_starting, mark_stopping


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
