import json
import os
import threading
from collections import Counter

import pytest

from cardex.api.archive import backlog as backlog_module
from cardex.api.archive import submitter as submitter_module
from cardex.domain.errors import (
    Busy,
    CardexError,
    ConfigurationError,
    IndexMissing,
    InvalidEcg,
    JobFailed,
    Unavailable,
)
from cardex.domain.jobs import Question
from tests.helpers.fake_gateway import fake_server


@pytest.fixture
def served():
    with fake_server() as served:
        yield served


@pytest.fixture
def server(served):
    return served[0]


@pytest.fixture
def gateway(server):
    return server.gateway


@pytest.fixture
def client(served):
    return served[1]


@pytest.fixture
def archive(tmp_path):
    """Makes a folder of files, whose contents are their numbers."""

    def make(count: int):
        for number in range(count):
            path = tmp_path / "archive" / f"{number % 7}" / f"{number}.dcm"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(number))
        return tmp_path / "archive"

    return make


@pytest.fixture
def output(tmp_path):
    return tmp_path / "night.jsonl"


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def answers(path) -> Counter[str]:
    return Counter(line["answer"]["model_version"] for line in lines(path))


def once(count: int) -> Counter[str]:
    return Counter(map(str, range(count)))


def answering(client) -> bool:
    try:
        return bool(client.info())
    except Unavailable:
        return False


def test_every_recording_is_answered_once_while_few_jobs_are_open(
    client, gateway, archive, output, monkeypatch
):
    monkeypatch.setattr(backlog_module, "MAX_OPEN", 60)
    monkeypatch.setattr(backlog_module, "BATCH", 20)
    seen = []

    def show(progress):
        seen.append((progress.submitted - progress.finished, progress.total))

    results = list(client.submit_folder(archive(500), results=output, on_progress=show))
    assert Counter(result.answer.model_version for result in results) == once(500)
    assert answers(output) == once(500)
    assert {line["file"] for line in lines(output)} == {f"{n % 7}/{n}.dcm" for n in range(500)}
    assert {total for _, total in seen} == {500}
    assert gateway.requests == 500


def test_no_more_is_submitted_than_may_be_open(client, gateway, archive, monkeypatch):
    monkeypatch.setattr(backlog_module, "MAX_OPEN", 60)
    monkeypatch.setattr(backlog_module, "BATCH", 20)
    gateway.answering.clear()
    full = threading.Event()

    def show(progress):
        if progress.submitted == 60:
            full.set()
            gateway.answering.set()

    results = client.submit_folder(archive(200), on_progress=show)
    assert next(results).answer is not None
    assert full.is_set()
    assert gateway.requests <= 80
    assert len(list(results)) == 199


def test_a_second_call_has_nothing_to_do(client, gateway, archive, output):
    folder = archive(30)
    assert len(list(client.submit_folder(folder, results=output))) == 30
    told = []
    again = client.submit_folder(
        folder, results=output, on_progress=lambda p: told.append((p.earlier, p.answered))
    )
    assert list(again) == []
    assert told[-1] == (30, 30)
    assert gateway.requests == 30


def test_a_call_that_was_left_is_gone_on_with(client, gateway, archive, output):
    folder = archive(300)
    first = client.submit_folder(folder, results=output)
    for _ in range(40):
        next(first)
    first.close()
    assert len(lines(output)) == 40
    rest = list(client.submit_folder(folder, results=output))
    assert len(rest) == 260
    assert answers(output) == once(300)
    assert len(gateway.contents) == 300


def test_without_results_the_manifest_alone_tells_what_was_taken(client, archive, tmp_path):
    folder, manifest = archive(50), tmp_path / "m"
    first = client.submit_folder(folder, manifest=manifest)
    taken = [next(first).path for _ in range(11)]
    first.close()  # the eleventh was not taken care of, as far as the manifest knows
    rest = [result.path for result in client.submit_folder(folder, manifest=manifest)]
    assert Counter(taken[:10] + rest) == {f"{n % 7}/{n}.dcm": 1 for n in range(50)}


def test_a_gateway_that_restarts_loses_and_doubles_nothing(
    server, client, gateway, archive, output, monkeypatch
):
    monkeypatch.setattr(backlog_module, "BATCH", 50)
    results = client.submit_folder(archive(400), results=output)
    count = 0
    for _ in results:
        count += 1
        if count in (20, 150):
            server.stop()
            server.start()
    assert count == 400
    assert answers(output) == once(400)
    assert len(gateway.contents) == 400


def test_a_stream_that_breaks_again_and_again_is_resumed(client, gateway, archive, output):
    gateway.broken = lambda count: Busy("busy") if count % 37 == 0 else None
    list(client.submit_folder(archive(150), results=output))
    assert answers(output) == once(150)
    assert len(gateway.contents) == 150


def test_jobs_that_expired_are_submitted_anew(client, gateway, archive, output):
    folder = archive(100)
    gateway.answering.clear()

    def show(progress):
        if progress.submitted == 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(client.submit_folder(folder, results=output, on_progress=show))
    gateway.forget()
    gateway.answering.set()
    assert len(list(client.submit_folder(folder, results=output))) == 100
    assert answers(output) == once(100)
    assert gateway.requests == 200


def test_a_job_is_watched_although_its_file_is_gone(client, gateway, archive, output):
    folder = archive(10)
    gateway.answering.clear()

    def show(progress):
        if progress.submitted == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(client.submit_folder(folder, results=output, on_progress=show))
    (folder / "3" / "3.dcm").unlink()
    gateway.answering.set()
    list(client.submit_folder(folder, results=output))
    assert answers(output) == once(10)
    assert gateway.requests == 10


def test_refusals_of_every_kind_stop_no_other(client, gateway, archive, output):
    folder = archive(20)
    (folder / "large.dcm").write_bytes(bytes(120_000))
    (folder / "gone.dcm").symlink_to(folder.parent / "none")
    odd = folder / os.fsdecode(b"odd\xff.dcm")
    odd.write_text("odd")
    (folder / "bad.dcm").write_text("bad")
    (folder / "failing.dcm").write_text("failing")
    short = InvalidEcg("too short", reason="DURATION", field="ecg.file.content")
    gateway.refuse = lambda content: short if content == b"bad" else None
    gateway.fail = lambda content: JobFailed("gone") if content == b"failing" else None
    results = {r.path: r for r in client.submit_folder(folder, results=output)}
    assert len(results) == 25
    failed = {path: r.outcome for path, r in results.items() if r.error}
    assert failed == {
        "large.dcm": "PAYLOAD_TOO_LARGE",
        "gone.dcm": "INVALID_ECG",
        "bad.dcm": "DURATION",
        "failing.dcm": "ATTEMPTS_EXHAUSTED",
    }
    assert results[odd.name].answer is not None
    assert r"odd\xff.dcm" in {line["file"] for line in lines(output)}
    assert "large.dcm has" in results["large.dcm"].error.message
    # nothing is told twice, whatever could not be read is looked at again
    assert list(client.submit_folder(folder, results=output)) == []
    (folder.parent / "none").write_text("back")
    assert [r.path for r in client.submit_folder(folder, results=output)] == ["gone.dcm"]


def test_a_recording_that_breaks_the_stream_is_found_and_refused(
    client, gateway, archive, output, monkeypatch
):
    monkeypatch.setattr(submitter_module, "TRIES_ALONE", 2)
    folder = archive(30)
    (folder / "poison.dcm").write_text("poison")
    poisoned: list[bool] = []

    def refuse(content):
        poisoned[:] = [content == b"poison"]

    gateway.refuse = refuse
    gateway.broken = lambda count: CardexError("crashed") if poisoned[0] else None
    results = list(client.submit_folder(folder, results=output))
    assert [r.path for r in results if r.error] == ["poison.dcm"]
    assert len(results) == 31


def test_a_full_gateway_is_waited_for(client, gateway, archive):
    left = [3]

    def refuse(content):
        left[0] -= 1
        return Busy("full", retry_after_s=0.01) if left[0] >= 0 else None

    gateway.refuse = refuse
    results = list(client.submit_folder(archive(10)))
    assert all(result.answer for result in results)
    assert len(results) == 10
    assert gateway.requests == 13


def test_what_the_operator_must_mend_ends_the_call(client, gateway, archive, output):
    gateway.refuse = lambda content: IndexMissing("no index")
    folder = archive(10)
    with pytest.raises(IndexMissing):
        list(client.submit_folder(folder, results=output))
    assert output.read_text() == ""
    gateway.refuse = lambda content: None
    assert len(list(client.submit_folder(folder, results=output))) == 10


def test_patience_ends_where_nothing_is_heard(server, client, archive, output):
    results = client.submit_folder(archive(600), results=output, patience_s=0.5)
    next(results)
    server.stop()
    with pytest.raises(Unavailable) as caught:
        list(results)
    assert caught.value.reason == "PATIENCE_ENDED"
    server.start()
    while not answering(client):
        pass
    list(client.submit_folder(archive(600), results=output))
    assert answers(output) == once(600)


def test_a_file_that_changed_is_submitted_again_and_one_that_was_touched_is_not(
    client, gateway, archive, output
):
    folder = archive(5)
    list(client.submit_folder(folder, results=output))
    (folder / "1" / "1.dcm").write_text("other")
    os.utime(folder / "2" / "2.dcm", ns=(1, 1))
    (folder / "new.dcm").write_text("new")
    again = list(client.submit_folder(folder, results=output))
    assert {result.answer.model_version for result in again} == {"other", "new"}
    assert gateway.requests == 7


def test_overlapping_paths_are_one_archive(client, archive):
    folder = archive(20)
    results = client.submit_folder(folder, folder / "1", folder / "1" / "1.dcm")
    assert len(list(results)) == 20


@pytest.mark.parametrize("name", ["night.jsonl", "night"])
def test_results_in_the_archive_itself_are_no_recordings(client, archive, name):
    folder = archive(3)
    assert len(list(client.submit_folder(folder, results=folder / name))) == 3
    assert list(client.submit_folder(folder, results=folder / name)) == []


def test_another_question_or_folder_needs_another_manifest(client, archive, output, tmp_path):
    folder = archive(3)
    list(client.submit_folder(folder, question=Question(5), results=output))
    for changed in (
        lambda: client.submit_folder(folder, question=Question(6), results=output),
        lambda: client.submit_folder(folder / "1", question=Question(5), results=output),
        lambda: client.submit_folder(
            folder, question=Question(5), results=tmp_path / "other.jsonl",
            manifest=f"{output}.manifest",
        ),
    ):  # fmt: skip
        with pytest.raises(ConfigurationError, match="another --manifest"):
            next(changed())


def test_the_question_goes_with_every_recording(client, gateway, archive):
    list(client.submit_folder(archive(3), question=Question(7, 64)))
    assert gateway.asked == [(7, 64)] * 3


def test_a_table_is_made_at_the_end_and_again_when_files_come(client, archive, tmp_path):
    import pyarrow.parquet as pq

    folder, table = archive(30), tmp_path / "night.parquet"
    first = client.submit_folder(folder, results=table)
    next(first)
    first.close()
    assert not table.exists()
    list(client.submit_folder(folder, results=table))
    assert pq.read_table(table).num_rows == 30
    made = table.stat().st_ino
    assert list(client.submit_folder(folder, results=table)) == []
    assert table.stat().st_ino == made
    (folder / "new.dcm").write_text("new")
    list(client.submit_folder(folder, results=table))
    assert Counter(pq.read_table(table)["model_version"].to_pylist()) == once(30) + Counter(["new"])
