import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from cardex.api import case_sender as module
from cardex.api.archive import patience
from cardex.api.archive.patience import ENDED
from cardex.api.case_sender import AT_ONCE, SHOWN_REASONS, CaseSender, Sent, Source
from cardex.api.convert.cases import filing_of
from cardex.api.convert.jobs import error_message
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.api.pb.v1 import job_pb2
from cardex.domain.cases import Filing
from cardex.domain.errors import (
    CardexError,
    IndexMissing,
    InvalidEcg,
    InvalidReport,
    JobCancelled,
    JobFailed,
    PayloadTooLarge,
    PermissionDenied,
    Unavailable,
)
from tests.helpers.cases import a_case

Fault = Callable[[pb.SubmitBatchRequest], CardexError | None]


def none(_: pb.SubmitBatchRequest) -> CardexError | None:
    return None


@dataclass
class Gateway:
    """Takes each request_id as one job, which ends once.

    Attributes:
        refuse: what it returns is the item's error.
        fail: what it returns is the job's error.
        breaks: errors of the next streams, after their first response.
        before: is called with the item_ids of each stream.
        streams: item_ids of each stream.
        filed: requests of the jobs that succeeded, by item_id.
        archive: that it files in, with a slash.
        only_answers: item_ids of which a worker of an earlier version only answers the ECG.
    """

    refuse: Fault = none
    fail: Fault = none
    breaks: list[CardexError] = field(default_factory=list)
    before: Callable[[list[str]], None] = lambda _: None
    streams: list[list[str]] = field(default_factory=list)
    jobs: dict[str, pb.SubmitBatchRequest] = field(default_factory=dict)
    ended: dict[str, job_pb2.Job] = field(default_factory=dict)
    filed: dict[str, list[pb.SubmitBatchRequest]] = field(default_factory=dict)
    archive: str = ""
    only_answers: set[str] = field(default_factory=set)

    def submit(self, requests, *, timeout_s=None) -> Iterator[pb.SubmitBatchResponse]:
        sent = list(requests)
        ids = [request.item_id for request in sent]
        self.streams.append(ids)
        self.before(ids)
        broken = self.breaks.pop(0) if self.breaks else None
        for place, request in enumerate(sent):
            if place == 1 and broken:
                raise broken
            assert 0 < len(request.request_id) <= 128
            error = self.refuse(request)
            if error:
                yield pb.SubmitBatchResponse(item_id=request.item_id, error=error_message(error))
                continue
            self.jobs.setdefault(request.request_id, pb.SubmitBatchRequest()).CopyFrom(request)
            job = job_pb2.Job(job_id=request.request_id)
            yield pb.SubmitBatchResponse(item_id=request.item_id, job=job)

    def finished(self, job_ids, timeout_s) -> Iterator[job_pb2.Job]:
        for job_id in reversed(list(job_ids)):
            if job_id not in self.ended:
                self.ended[job_id] = self._ended(job_id)
            yield self.ended[job_id]

    def _ended(self, job_id: str) -> job_pb2.Job:
        request = self.jobs[job_id]
        error = self.fail(request)
        if error:
            message = error_message(error)
            return job_pb2.Job(job_id=job_id, state="JOB_STATE_FAILED", error=message)
        self.filed.setdefault(request.item_id, []).append(request)
        if request.item_id in self.only_answers:
            return job_pb2.Job(job_id=job_id, state="JOB_STATE_SUCCEEDED")
        answer = job_pb2.Answer(case_id=f"{self.archive}{request.item_id}")
        return job_pb2.Job(job_id=job_id, state="JOB_STATE_SUCCEEDED", answer=answer)


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr(patience, "SHORTEST_S", 0.001)
    monkeypatch.setattr(patience, "LONGEST_S", 0.001)
    monkeypatch.setattr(module, "HEARD_WITHIN_S", -1.0)


@pytest.fixture
def ecg(tmp_path) -> Path:
    path = tmp_path / "ecg.csv"
    path.write_bytes(b"an ECG")
    return path


def sources(count: int, path: Path | None = None) -> list[Source]:
    return [(a_case(str(n), f"text {n}"), path) for n in range(count)]


def sender(gateway: Gateway, index: str = "", **options: float) -> CaseSender:
    return CaseSender(gateway, index, max_bytes=1000, **{"patience_s": 3600.0, **options})


def send(gateway: Gateway, wanted: list[Source], index: str = "") -> Sent:
    *_, sent = sender(gateway, index).send(wanted)
    return sent


def once(error: CardexError, times: int = 1) -> Fault:
    """Return a fault that each item has once, or some times."""
    seen: Counter[str] = Counter()

    def fault(request: pb.SubmitBatchRequest) -> CardexError | None:
        seen[request.item_id] += 1
        return error if seen[request.item_id] <= times else None

    return fault


def of(item_id: str, error: CardexError) -> Fault:
    return lambda request: error if request.item_id == item_id else None


def with_ecg(error: CardexError) -> Fault:
    return lambda request: error if request.HasField("ecg") else None


# What is sent.


def test_a_case_is_filed_with_its_ecg_and_without_an_answer(ecg):
    gateway, case = Gateway(), a_case("north/1", "old infarct", age=57)
    assert send(gateway, [(case, ecg)], "reports_2") == Sent(cases=1)
    (request,) = gateway.filed["north/1"]
    assert request.ecg.file.content == b"an ECG"
    assert filing_of(request.file_as, "") == Filing(case, "reports_2", only=True)
    assert request.any_order


def test_a_case_without_an_ecg_is_filed_for_its_report():
    gateway = Gateway()
    assert send(gateway, sources(1)) == Sent(cases=1)
    assert not gateway.filed["0"][0].HasField("ecg")


def test_a_case_that_is_sent_in_a_later_call_is_filed_anew():
    """It may have been erased, or replaced, or the index may be another by now."""
    gateway = Gateway()
    send(gateway, sources(1))
    send(gateway, sources(1))
    assert len(gateway.filed["0"]) == 2


def test_nothing_sent_is_nothing_told():
    gateway = Gateway()
    assert list(sender(gateway).send([])) == []
    assert gateway.streams == []


def test_a_case_of_an_archive_is_known_without_its_name():
    assert send(Gateway(archive="north/"), sources(3)) == Sent(cases=3)


def test_a_job_that_was_only_answered_is_no_case():
    gateway = Gateway(only_answers={"1"})
    sent = send(gateway, sources(3))
    assert (sent.cases, sent.refused) == (3, 1)
    assert gateway.streams == [["0", "1", "2"], ["1"]]


def test_an_index_that_a_gateway_does_not_know_yet_is_asked_for_again(monkeypatch):
    monkeypatch.setattr(module, "HEARD_WITHIN_S", 3600.0)
    monkeypatch.setattr(module, "PAUSE_S", 0.001)
    gateway = Gateway(fail=once(IndexMissing("begin anew"), times=3))
    assert send(gateway, sources(3), "reports_2") == Sent(cases=3)


# What became of them, in their order.


def test_what_became_of_them_is_told_after_each_chunk(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 3)
    gateway = Gateway()
    assert [sent.cases for sent in sender(gateway).send(sources(8))] == [3, 6, 8]
    assert sorted(gateway.filed) == [str(n) for n in range(8)]


def test_a_chunk_that_is_done_first_is_told_after_those_before_it(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 2)
    gateway, later = Gateway(), threading.Event()

    def before(ids: list[str]) -> None:
        if ids[0] == "0":
            assert later.wait(20)

    gateway.before = before
    finished = gateway.finished

    def watched(job_ids, timeout_s):
        yield from finished(job_ids, timeout_s)
        if "2" in gateway.filed:
            later.set()

    gateway.finished = watched  # type: ignore[method-assign]
    gateway.refuse = of("0", InvalidReport("bad", field="file_as.report"))
    told = [(sent.cases, sent.refused) for sent in sender(gateway).send(sources(6))]
    assert told == [(2, 1), (4, 1), (6, 1)]


def test_no_more_is_read_than_is_under_way(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 2)
    read: list[str] = []

    def endless() -> Iterator[Source]:
        while True:
            read.append(str(len(read)))
            yield a_case(read[-1]), None

    sending = cast("Generator[Sent, None, None]", sender(Gateway()).send(endless()))
    next(sending)
    next(sending)
    assert len(read) <= 2 * (AT_ONCE + 1)
    sending.close()


# An ECG that cannot be used.


def test_an_ecg_that_cannot_be_read_is_done_without(tmp_path, ecg):
    gateway = Gateway()
    wanted = [(a_case("1"), tmp_path / "none.csv"), (a_case("2"), ecg)]
    sent = send(gateway, wanted)
    assert (sent.cases, sent.without_ecg, sent.refused) == (2, 1, 0)
    assert sent.reasons[0].startswith("1 is filed without its ECG: cannot read")
    assert not gateway.filed["1"][0].HasField("ecg")
    assert gateway.filed["2"][0].HasField("ecg")


def test_an_ecg_that_no_message_carries_is_done_without(tmp_path):
    large = tmp_path / "large.csv"
    large.write_bytes(bytes(2000))
    gateway = Gateway()
    assert send(gateway, [(a_case("1"), large)]).without_ecg == 1
    assert gateway.streams == [["1"]]


@pytest.mark.parametrize("error", [InvalidEcg("short", field="ecg"), PayloadTooLarge("large")])
@pytest.mark.parametrize("fault", ["refuse", "fail"])
def test_a_case_whose_ecg_is_refused_or_fails_is_filed_without_it(ecg, error, fault):
    gateway = Gateway()
    setattr(gateway, fault, with_ecg(error))
    sent = send(gateway, sources(3, ecg))
    assert (sent.cases, sent.without_ecg, sent.refused) == (3, 3, 0)
    assert all(error.message in reason for reason in sent.reasons)
    assert sorted(gateway.filed) == ["0", "1", "2"]
    assert gateway.streams == [["0", "1", "2"]] * 2


@pytest.mark.parametrize("field", ["file_as.case.age", "file_as.report"])
def test_a_case_that_is_at_fault_is_not_filed_and_keeps_none_of_the_others(ecg, field):
    gateway = Gateway(refuse=of("1", InvalidReport("bad case", field=field)))
    sent = send(gateway, sources(3, ecg))
    assert (sent.cases, sent.without_ecg, sent.refused) == (3, 0, 1)
    assert sent.reasons == ["not filed: 1: bad case"]
    assert sorted(gateway.filed) == ["0", "2"]


def test_a_case_without_an_ecg_that_is_refused_is_not_tried_for_ever():
    gateway = Gateway(refuse=of("1", InvalidEcg("no ECG")))
    assert send(gateway, sources(2)).refused == 1
    assert len(gateway.streams) == 1


def test_few_reasons_are_told_of_many(ecg):
    gateway = Gateway(fail=with_ecg(InvalidEcg("short")))
    sent = send(gateway, sources(SHOWN_REASONS + 5, ecg))
    assert (sent.without_ecg, len(sent.reasons)) == (SHOWN_REASONS + 5, SHOWN_REASONS)


# What may pass.


def test_what_a_broken_stream_left_open_is_sent_again_as_the_same_jobs():
    gateway = Gateway(breaks=[Unavailable("cut off")])
    assert send(gateway, sources(3)) == Sent(cases=3)
    assert gateway.streams == [["0", "1", "2"]] * 2
    assert {one: len(filed) for one, filed in gateway.filed.items()} == {"0": 1, "1": 1, "2": 1}
    assert len(gateway.jobs) == 3


def test_jobs_that_cannot_be_watched_are_asked_for_again():
    gateway = Gateway()
    finished, breaks = gateway.finished, [Unavailable("cut off")]

    def watched(job_ids, timeout_s):
        for place, job in enumerate(finished(job_ids, timeout_s)):
            if place == 1 and breaks:
                raise breaks.pop()
            yield job

    gateway.finished = watched  # type: ignore[method-assign]
    assert send(gateway, sources(3)) == Sent(cases=3)
    assert gateway.streams == [["0", "1", "2"], ["0", "1"]]
    assert all(len(filed) == 1 for filed in gateway.filed.values())


def test_an_item_that_is_refused_for_what_may_pass_is_sent_until_it_is_taken():
    left = [5]

    def down(request: pb.SubmitBatchRequest) -> CardexError | None:
        if request.item_id == "1" and left[0]:
            left[0] -= 1
            return Unavailable("the state store does not answer")
        return None

    gateway = Gateway(refuse=down)
    assert send(gateway, sources(3)) == Sent(cases=3)
    assert gateway.streams == [["0", "1", "2"], *[["1"]] * 5]


def test_patience_with_refusals_that_may_pass_ends(monkeypatch):
    gateway = Gateway(refuse=lambda _: Unavailable("the state store does not answer"))
    sending = sender(gateway, patience_s=0.05).send(sources(2))
    with pytest.raises(Unavailable, match="the state store does not answer") as caught:
        next(sending)
    assert caught.value.reason == ENDED


@pytest.mark.parametrize("error", [JobFailed("gave up"), JobCancelled("cancelled")])
def test_a_job_that_fails_for_no_fault_of_its_case_is_made_once_more(ecg, error):
    gateway = Gateway(fail=once(error))
    assert send(gateway, sources(2, ecg)) == Sent(cases=2)
    assert all(len(filed) == 1 and filed[0].HasField("ecg") for filed in gateway.filed.values())


def test_a_job_that_fails_twice_is_given_up_and_the_others_go_on(ecg):
    gateway = Gateway(fail=of("1", JobFailed("every worker died")))
    sent = send(gateway, sources(3, ecg))
    assert (sent.cases, sent.without_ecg, sent.refused) == (3, 0, 1)
    assert sent.reasons == ["not filed: 1: every worker died"]
    assert gateway.streams == [["0", "1", "2"], ["1"]]


@pytest.mark.parametrize("fault", ["refuse", "fail", "breaks"])
@pytest.mark.parametrize("error", [PermissionDenied("no scope"), IndexMissing("begin anew")])
def test_what_the_operator_must_mend_ends_the_call(error, fault):
    gateway = Gateway()
    setattr(gateway, fault, [error] if fault == "breaks" else lambda _: error)
    with pytest.raises(type(error), match=error.message):
        send(gateway, sources(3))
    assert gateway.streams == [["0", "1", "2"]]


def test_what_the_sources_raise_ends_the_call():
    def broken() -> Iterator[Source]:
        yield a_case("1"), None
        raise InvalidReport("line 2 has no report")

    with pytest.raises(InvalidReport, match="line 2"):
        list(sender(Gateway()).send(broken()))


# Halting.


def test_who_stops_listening_stops_the_sending(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 2)
    gateway = Gateway(refuse=of("2", Unavailable("down")))
    sending = cast("Generator[Sent, None, None]", sender(gateway).send(sources(1000)))
    assert next(sending).cases == 2
    before = len(gateway.streams)
    sending.close()
    assert len(gateway.streams) <= before + 2 * AT_ONCE
    assert not [one for one in threading.enumerate() if one.name.startswith("cases")]


def test_a_chunk_whose_index_is_not_known_yet_stops_too(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 2)
    monkeypatch.setattr(module, "HEARD_WITHIN_S", 1.0)
    gateway = Gateway(refuse=of("2", IndexMissing("begin anew")))
    sending = cast("Generator[Sent, None, None]", sender(gateway).send(sources(1000)))
    next(sending)
    before = len(gateway.streams)
    sending.close()
    assert len(gateway.streams) <= before + 2 * AT_ONCE


def test_an_error_of_one_chunk_stops_the_others(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 2)
    gateway = Gateway(refuse=of("2", Unavailable("down")), fail=of("0", IndexMissing("begin anew")))
    with pytest.raises(IndexMissing):
        list(sender(gateway).send(sources(1000)))
    assert not [one for one in threading.enumerate() if one.name.startswith("cases")]
    assert "20" not in gateway.filed
