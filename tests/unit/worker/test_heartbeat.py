import threading
from types import SimpleNamespace
from typing import cast

import pytest

from cardex.domain.errors import CardexError, Unavailable
from cardex.domain.jobs import Claim
from cardex.stores.job_queue import JobQueue
from cardex.worker import heartbeat as module
from cardex.worker.heartbeat import MAX_HOLD_S, LeaseHeartbeat
from tests.helpers.fake_jobs import a_job

LEASE_S = 9.0


class SteppedTime:
    """In place of the module `time`: a sleep lasts until the test lets it end."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []
        self._asleep, self._go = threading.Semaphore(0), threading.Semaphore(0)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._asleep.release()
        self._go.acquire()

    def wait_asleep(self) -> None:
        assert self._asleep.acquire(timeout=20), "the heartbeat's thread has ended"

    def wake(self) -> None:
        """End the sleep, and wait for the next one."""
        self._go.release()
        self.wait_asleep()


class Jobs:
    """The side of the job queue that a heartbeat sees; keeps whose leases were extended."""

    def __init__(self) -> None:
        self.limits = SimpleNamespace(lease_s=LEASE_S)
        self.extended: list[str] = []
        self.error: CardexError | None = None

    def extend(self, claims) -> None:
        if self.error is not None:
            raise self.error
        self.extended += [claim.job.job_id for claim in claims]


@pytest.fixture
def time(monkeypatch):
    stepped = SteppedTime()
    monkeypatch.setattr(module, "time", stepped)
    return stepped


@pytest.fixture
def jobs():
    return Jobs()


@pytest.fixture
def beats():
    return []


@pytest.fixture
def heartbeat(time, jobs, beats):
    heartbeat = LeaseHeartbeat(cast(JobQueue, jobs), lambda: beats.append(time.now))
    time.wait_asleep()
    return heartbeat


def claims(token: str, *names: str) -> list[Claim]:
    return [Claim(a_job(name), token, b"") for name in names]


def test_leases_are_extended_three_times_in_their_length(heartbeat, time, jobs):
    with heartbeat.hold(claims("t1", "a", "b")):
        time.wake()
        time.wake()
    assert jobs.extended == ["a", "b", "a", "b"]
    assert set(time.slept) == {LEASE_S / 3}


def test_batches_of_several_threads_are_held_side_by_side(heartbeat, time, jobs):
    with heartbeat.hold(claims("t1", "a")):
        with heartbeat.hold(claims("t2", "b")):
            time.wake()
        time.wake()
    assert jobs.extended == ["a", "b", "a"]


def test_what_is_let_go_is_extended_no_more(heartbeat, time, jobs):
    with pytest.raises(ZeroDivisionError), heartbeat.hold(claims("t1", "a")):
        raise ZeroDivisionError
    time.wake()
    assert jobs.extended == []


def test_a_job_that_is_stuck_is_let_go(heartbeat, time, jobs):
    with heartbeat.hold(claims("t1", "stuck")):
        time.now += MAX_HOLD_S - 1
        with heartbeat.hold(claims("t2", "new")):
            time.wake()
            time.now += 1
            time.wake()
    assert jobs.extended == ["stuck", "new", "new"]


def test_a_store_that_is_down_is_asked_again(heartbeat, time, jobs, caplog):
    with heartbeat.hold(claims("t1", "a", "b")):
        jobs.error = Unavailable("the state store does not answer")
        time.wake()
        jobs.error = None
        time.wake()
    assert jobs.extended == ["a", "b"]
    assert caplog.messages == ["cannot extend the leases of 2 jobs: UNAVAILABLE"]


def test_it_beats_as_long_as_no_job_is_stuck(heartbeat, time, beats):
    time.wake()
    assert len(beats) == 1
    with heartbeat.hold(claims("t1", "stuck")):
        time.wake()
        assert len(beats) == 2
        time.now += MAX_HOLD_S
        time.wake()
        assert len(beats) == 2
    time.wake()
    assert len(beats) == 3
