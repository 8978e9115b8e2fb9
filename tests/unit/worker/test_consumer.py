import logging
from dataclasses import replace
from typing import cast

import pytest

from cardex.api.convert.ecg import to_payload
from cardex.api.pb.v1 import ecg_pb2
from cardex.domain.cases import Filing
from cardex.domain.errors import (
    CardexError,
    ConfigurationError,
    IndexMissing,
    InvalidEcg,
    Overloaded,
    Unavailable,
    VersionMismatch,
)
from cardex.domain.jobs import EncodedAnswer, JobError, Priority
from cardex.retrieval.active_index import ActiveIndex
from cardex.retrieval.retriever import Retriever
from cardex.stores.job_queue import JobQueue
from cardex.worker.consumer import IDLE_S, MARGIN_S, JobConsumer
from tests.helpers.answers import ANSWER
from tests.helpers.cases import a_case
from tests.helpers.fake_jobs import FakeJobs

BATCH = 4


def payload(content: str) -> bytes:
    return to_payload(ecg_pb2.Ecg(file=ecg_pb2.ClinicalFile(content=content.encode())))


class FakeRetriever:
    """Answers every ECG but those whose content says otherwise."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.filings: list[list[Filing | None]] = []
        self.submitted: list[float] = []
        self.outcomes: list[EncodedAnswer | CardexError] = []
        self.error: Exception | None = None

    def by_ecg(self, batch, priority):
        contents = [asked.ecg[0].content.decode() if asked.ecg else "" for asked in batch]
        self.batches.append(contents)
        self.filings.append([asked.filing for asked in batch])
        self.submitted += [asked.submitted for asked in batch]
        if self.outcomes:
            return self.outcomes
        if self.error is not None:
            raise self.error
        if "poison" in contents:
            raise ZeroDivisionError("of this ECG")
        bad = InvalidEcg("too short", reason="DURATION", field="ecg.file.content")
        return [bad if content == "bad" else ANSWER for content in contents]


class FakeActiveIndex:
    def __init__(self) -> None:
        self.error: Exception | None = None
        self.suspected: list[Exception] = []

    def current_or_looked_up(self):
        if self.error is not None:
            raise self.error

    def suspect(self, error):
        self.suspected.append(error)


class World:
    def __init__(self, **payloads: bytes | None) -> None:
        self.jobs = FakeJobs(**payloads)
        self.retriever, self.active_index = FakeRetriever(), FakeActiveIndex()
        self.consumer = JobConsumer(
            cast(JobQueue, self.jobs),
            cast(Retriever, self.retriever),
            cast(ActiveIndex, self.active_index),
            {Priority.ROUTINE: BATCH, Priority.STAT: 1},
        )

    def run(self, priority: Priority = Priority.ROUTINE) -> int:
        return self.consumer.run(priority)

    def error_of(self, name: str) -> JobError:
        error = self.jobs.results[name]
        assert isinstance(error, JobError)
        return error


def good(*names: str) -> dict[str, bytes]:
    return {name: payload(name) for name in names}


def test_waiting_jobs_are_answered_until_none_is_left():
    world = World(**good("a", "b", "c", "d", "e"))
    assert world.run() == 5
    assert world.jobs.results == dict.fromkeys("abcde", ANSWER.message)
    assert world.retriever.batches == [["a", "b", "c", "d"], ["e"]]


def test_an_empty_queue_is_nothing_to_do():
    assert World().run() == 0


@pytest.mark.parametrize(("priority", "size"), [(Priority.ROUTINE, BATCH), (Priority.STAT, 1)])
def test_a_batch_is_as_large_as_its_queue_allows(priority, size):
    world = World(**good("a", "b", "c", "d", "e"))
    world.run(priority)
    assert max(map(len, world.retriever.batches)) == size


def test_an_ecg_at_fault_fails_and_the_others_are_answered():
    world = World(**good("a", "bad", "c"))
    world.run()
    assert world.jobs.results == {
        "a": ANSWER.message,
        "bad": JobError("DURATION", "too short", "ecg.file.content", "InvalidEcg"),
        "c": ANSWER.message,
    }


def test_a_poisonous_ecg_does_not_take_its_batch_with_it():
    world = World(**good("a", "poison", "c"))
    world.run()
    assert world.jobs.results == {"a": ANSWER.message, "c": ANSWER.message}


def test_a_poisonous_ecg_goes_back_counted_with_a_reason():
    world = World(**good("a", "poison"))
    world.run()
    ((name, (error, counted)),) = world.jobs.returned.items()
    assert (name, counted) == ("poison", True)
    assert error.reason == "PROCESSING_FAILED"


def test_after_a_poisonous_ecg_the_queue_is_drained_on():
    world = World(**good("poison", "b", "c", "d", "e", "f"))
    assert world.run() == 6
    assert set(world.jobs.results) == {"b", "c", "d", "e", "f"}


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("Triton is down"),
        VersionMismatch("model m1, index m0"),
        IndexMissing("there is no report index yet"),
        ConfigurationError("ecg_image_encoder returned an empty tensor"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_part_that_is_down_or_does_not_fit_gives_the_jobs_back_uncounted(error):
    world = World(**good("a", "b"))
    world.retriever.error = error
    world.run()
    assert world.jobs.returned == {name: (JobError.of(error), False) for name in ("a", "b")}
    assert not world.jobs.results


def test_a_part_that_fails_is_looked_at_again_before_the_next_batch():
    world = World(**good("a"))
    world.retriever.error = Unavailable("Triton is down")
    world.run()
    assert world.active_index.suspected == [world.retriever.error]


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("Triton is down"),
        VersionMismatch("model m1, index m0"),
        IndexMissing("there is no report index yet"),
        ConfigurationError("ecg_image_encoder answers its known input with []"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_job_is_taken_while_none_could_be_answered(error):
    world = World(**good("a"))
    world.active_index.error = error
    assert world.run() == 0
    assert world.jobs.claimed == []


def test_a_payload_that_has_expired_fails_its_job_alone():
    world = World(a=payload("a"), gone=None, c=payload("c"))
    world.run()
    assert world.error_of("gone").reason == "PAYLOAD_EXPIRED"
    assert "CARDEX_PAYLOAD_TTL_S" in world.error_of("gone").message
    assert [world.jobs.results[name] for name in "ac"] == [ANSWER.message, ANSWER.message]


def test_a_payload_that_is_damaged_fails_its_job_alone():
    world = World(a=payload("a"), damaged=b"\xff", c=payload("c"))
    world.run()
    assert world.error_of("damaged").reason == "INVALID_ECG"
    assert [world.jobs.results[name] for name in "ac"] == [ANSWER.message, ANSWER.message]


def test_a_batch_of_which_nothing_can_be_asked_is_finished():
    world = World(gone=None, damaged=b"\xff")
    world.run()
    assert set(world.jobs.results) == {"gone", "damaged"}


def test_the_result_of_a_lost_claim_is_dropped():
    world = World(**good("a", "b"))
    world.jobs.lost = {"a"}
    assert world.run() == 2
    assert world.jobs.results == {"b": ANSWER.message}


def test_a_worker_that_is_stopping_takes_no_job():
    world = World(**good("a"))
    world.consumer.stopping.set()
    assert world.run() == 0
    assert world.jobs.claimed == []


def test_no_log_shows_what_an_unforeseen_error_says_of_the_ecg(caplog):
    caplog.set_level(logging.DEBUG)
    world = World(**good("a"))
    world.retriever.error = ValueError("cannot open Doe_John_1970.dcm")
    world.run()
    assert "ValueError" in caplog.text
    assert "Doe_John" not in caplog.text


# Filing.


def filed(**filings: Filing | None) -> World:
    """Return a world of jobs that are filed; those of a filing alone have no ECG."""
    world = World(**{n: b"" if f and f.only else payload(n) for n, f in filings.items()})
    world.jobs.waiting = [replace(job, filing=filings[job.job_id]) for job in world.jobs.waiting]
    return world


def test_a_job_is_answered_with_what_it_is_filed_as():
    filing, only = Filing(a_case("1"), "reports_2"), Filing(a_case("2"), only=True)
    world = filed(a=filing, b=only, c=None)
    world.run()
    assert world.retriever.filings == [[filing, only, None]]
    assert world.retriever.batches == [["a", "", "c"]]
    assert set(world.jobs.results) == {"a", "b", "c"}


def test_a_case_without_an_ecg_has_not_expired():
    world = filed(a=Filing(a_case("1"), only=True))
    world.run()
    assert world.jobs.results == {"a": ANSWER.message}


@pytest.mark.parametrize(
    "error",
    [
        Overloaded("another client writes", reason="INDEX_BUSY"),
        Unavailable("Milvus is down"),
        VersionMismatch("another model answers"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_case_that_cannot_be_filed_now_goes_back_alone_and_nothing_is_suspected(error):
    world = filed(a=Filing(a_case("1")), b=None, c=Filing(a_case("2")))
    world.retriever.outcomes = [error, ANSWER, error]
    world.run()
    assert world.jobs.returned == {name: (JobError.of(error), False) for name in ("a", "c")}
    assert world.active_index.suspected == []
    assert world.jobs.results == {"b": ANSWER.message}


def test_a_case_that_can_never_be_filed_fails():
    world = filed(a=Filing(a_case("1"), "gone"), b=None)
    error = IndexMissing("there is no index 'gone'")
    world.retriever.outcomes = [error, ANSWER]
    world.run()
    assert world.jobs.results == {"a": JobError.of(error), "b": ANSWER.message}
    assert not world.jobs.returned


def test_a_case_is_filed_as_of_when_it_was_sent():
    world = filed(a=Filing(a_case("1")))
    world.jobs.waiting = [replace(job, submitted=1_700_000_000.5) for job in world.jobs.waiting]
    world.run()
    assert world.retriever.submitted == [1_700_000_000.5]


# Waiting at the bell.


def lingering(**payloads: bytes | None) -> World:
    world = World(**payloads)
    world.consumer = JobConsumer(
        cast(JobQueue, world.jobs),
        cast(Retriever, world.retriever),
        cast(ActiveIndex, world.active_index),
        {Priority.ROUTINE: BATCH, Priority.STAT: 1},
        linger_s=3600.0,
    )
    return world


def test_a_worker_without_jobs_stands_idle_and_takes_the_next_that_comes():
    world = lingering(**good("a", "b"))
    late = world.jobs.waiting.pop()

    def comes() -> None:
        if len(world.jobs.waited) == 2:
            world.jobs.waiting.append(late)
        elif len(world.jobs.waited) == 3:
            world.consumer.stopping.set()

    world.jobs.on_wait = comes
    assert world.run() == 2
    assert set(world.jobs.results) == {"a", "b"}
    # Two that waited, one job each time, and the last claim takes none: it leaves the bell.
    assert world.jobs.idle_s == [*[IDLE_S + MARGIN_S] * 5, 0.0]


def test_a_worker_that_does_not_linger_is_not_counted_as_idle():
    world = World(**good("a"))
    world.run()
    assert world.jobs.idle_s == [0.0, 0.0]
    assert world.jobs.waited == []


def test_no_worker_lingers_while_a_part_is_down():
    world = lingering()
    world.jobs.on_wait = lambda: setattr(world.active_index, "error", Unavailable("down"))
    assert world.run() == 0
    assert len(world.jobs.waited) == 1
