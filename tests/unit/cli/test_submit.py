import io
import json
import os
import signal

import pytest
from rich.console import Console

from cardex.api.archive.patience import ENDED
from cardex.api.client import Client
from cardex.cli.submit import Archive, ask_one_by_one, run_stat, run_submit
from cardex.domain.errors import InvalidEcg, Unauthenticated, Unavailable
from cardex.domain.jobs import Question
from tests.helpers.fake_gateway import fake_server

TOO_SHORT = InvalidEcg("too short", reason="DURATION", field="ecg.file.content")


@pytest.fixture
def served():
    with fake_server() as (server, _):
        server.gateway.refuse = {b"bad": TOO_SHORT}.get
        yield server.gateway, lambda: Client(f"127.0.0.1:{server.port}")


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "archive"
    made.mkdir()
    (made / "a.dcm").write_bytes(b"good")
    (made / "b.dcm").write_bytes(b"bad")
    return made


@pytest.fixture
def submit(served, folder, tmp_path):
    """Submits the folder; returns the exit status and what the console says."""

    def submitted(*, as_json: bool = False, **options) -> tuple[int, str]:
        told = io.StringIO()
        archive = Archive((folder,), Question(3), **options)
        console = Console(file=told, width=300)
        status = run_submit(served[1](), archive, as_json=as_json, console=console)
        return status, told.getvalue()

    return submitted


def printed(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def check_json(lines: list[dict]) -> None:
    lines.sort(key=lambda line: line["file"])
    assert [line["file"] for line in lines] == ["a.dcm", "b.dcm"]
    assert lines[0]["answer"]["model_version"] == "good"
    assert lines[1]["error"] == {
        "reason": "DURATION", "message": "too short", "field": "ecg.file.content"
    }  # fmt: skip


def test_each_recording_of_a_batch_is_a_line_of_json(submit, capsys):
    status, told = submit(as_json=True)
    check_json(printed(capsys))
    assert status == 1
    assert "1 of 2 recordings answered" in told
    assert "1 refused or failed: 1 DURATION" in told


def test_each_stat_recording_is_a_line_of_json(served, folder, capsys):
    status = run_stat(
        served[1](), [folder], Question(3), as_json=True, console=Console(file=io.StringIO())
    )
    check_json(printed(capsys))
    assert status == 1
    assert served[0].asked == [(3, 0)] * 2


def test_a_recording_that_is_refused_is_told_by_its_name(submit, capsys):
    submit()
    assert "b.dcm: DURATION: too short" in capsys.readouterr().out


def test_an_archive_without_refusals_ends_with_0(submit, folder):
    (folder / "b.dcm").write_bytes(b"good too")
    status, told = submit(as_json=True)
    assert status == 0
    assert "refused" not in told


def test_results_go_to_a_file_and_the_summary_says_where(submit, capsys, tmp_path):
    results = tmp_path / "night.jsonl"
    status, told = submit(results=results)
    assert status == 1
    assert capsys.readouterr().out == ""
    assert f"results: {results}" in told
    assert f"grep '\"error\": ' {results}" in told
    assert len(results.read_text().splitlines()) == 2
    status, told = submit(results=results)
    assert status == 1
    assert "2 finished before this call" in told
    assert len(results.read_text().splitlines()) == 2


def test_a_name_that_is_no_utf_8_is_printed(submit, folder, capsys):
    (folder / os.fsdecode(b"c\xff.dcm")).write_bytes(b"good")
    submit()
    assert r"c\udcff.dcm" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_and_it_says_how_to_go_on(
    submit, served, folder, tmp_path, number
):
    gateway, _ = served
    sent: list[bytes] = []

    def signalled(content):
        if not sent:
            sent.append(content)
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    gateway.answering.clear()
    gateway.refuse = signalled
    status, told = submit(results=tmp_path / "night.jsonl")
    assert status == 128 + number
    assert number.name in told
    assert "run the same command again" in told
    assert f"{tmp_path}/night.jsonl.manifest says what is done" in told
    gateway.answering.set()
    gateway.refuse = lambda content: None
    assert submit(results=tmp_path / "night.jsonl")[0] == 0
    assert signal.getsignal(number) is before


def test_the_end_of_patience_has_its_own_status(submit, monkeypatch):
    def submit_folder(self, *_, on_progress, **__):
        raise Unavailable("nothing was heard", reason=ENDED)
        yield

    monkeypatch.setattr("cardex.api.client.Client.submit_folder", submit_folder)
    status, told = submit()
    assert status == 75
    assert "gave up: nothing was heard" in told


def test_an_error_of_the_operator_is_raised_after_the_summary(submit, served, tmp_path):
    served[0].broken = lambda count: Unauthenticated("no such key")
    with pytest.raises(Unauthenticated):
        submit(results=tmp_path / "night.jsonl")


def test_a_path_without_ecgs_is_refused_before_anything_is_sent(served, tmp_path):
    gateway, connect = served
    for path, said in ((tmp_path / "none", "none does not exist"), (tmp_path, "no ECG file there")):
        with connect() as client, pytest.raises(InvalidEcg, match=said):
            next(ask_one_by_one(client, [path], Question()))
    assert gateway.requests == 0
