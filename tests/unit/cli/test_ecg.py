import io
import json
from typing import cast

import pytest
from rich.console import Console

from cardex.api.client import Client, Result
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.api.pb.v1 import job_pb2
from cardex.cli.ecg import ask_one_by_one, run_search, run_submit
from cardex.domain.errors import InvalidEcg
from cardex.domain.jobs import Question

ANSWER = job_pb2.Answer(model_version="m1")
TOO_SHORT = InvalidEcg("too short", reason="DURATION", field="ecg.file.content")


class FakeClient:
    """Answers every ECG but those whose bytes are "bad"."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, Question]] = []
        self.closed = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True

    def retrieve(self, ecg, question):
        self.asked.append((ecg.file.content, question))
        if ecg.file.content == b"bad":
            raise TOO_SHORT
        return pb.RetrieveResponse(answer=ANSWER, job_id="j1")

    def submit_folder(self, *paths, question, on_progress):
        on_progress("submitted", len(paths), len(paths))
        for path in paths:
            bad = path.read_bytes() == b"bad"
            yield Result(path.name, error=TOO_SHORT) if bad else Result(path.name, ANSWER)

    def search(self, text, top_k):
        return ANSWER


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / "a.dcm", tmp_path / "b.dcm"]
    paths[0].write_bytes(b"good")
    paths[1].write_bytes(b"bad")
    return paths


@pytest.fixture
def submit(files):
    """Submit the files; returns how many failed and what the console says."""

    def submitted(client: FakeClient, **options) -> tuple[int, str]:
        told = io.StringIO()
        console = Console(file=told)
        failed = run_submit(cast(Client, client), files, Question(3), console=console, **options)
        return failed, told.getvalue()

    return submitted


@pytest.mark.parametrize("stat", [True, False])
def test_each_recording_is_a_line_of_json(submit, capsys, stat):
    client = FakeClient()
    failed, told = submit(client, stat=stat, as_json=True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["file"] for line in lines] == ["a.dcm", "b.dcm"]
    assert lines[0]["answer"]["model_version"] == "m1"
    assert lines[1]["error"] == {
        "reason": "DURATION", "message": "too short", "field": "ecg.file.content"
    }  # fmt: skip
    assert failed == 1
    assert "1 of 2 recordings failed" in told
    assert client.closed


def test_a_recording_that_is_refused_is_told_by_its_name(submit, capsys):
    submit(FakeClient(), stat=True, as_json=False)
    assert "b.dcm: DURATION: too short" in capsys.readouterr().out


def test_a_stat_recording_is_asked_with_the_question(submit):
    client = FakeClient()
    submit(client, stat=True, as_json=True)
    assert client.asked == [(b"good", Question(3)), (b"bad", Question(3))]


def test_a_path_without_ecgs_is_refused_before_anything_is_sent(tmp_path):
    client = FakeClient()
    for path, said in ((tmp_path / "none", "none does not exist"), (tmp_path, "no ECG file there")):
        with pytest.raises(InvalidEcg, match=said):
            next(ask_one_by_one(cast(Client, client), [path], Question(), Console(quiet=True)))
    assert client.asked == []


def test_the_reports_of_a_text_are_json_where_asked_for(capsys):
    client = FakeClient()
    run_search(cast(Client, client), "sinus rhythm", 3, as_json=True)
    assert json.loads(capsys.readouterr().out)["model_version"] == "m1"
    assert client.closed
