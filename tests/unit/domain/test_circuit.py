import pytest

from cardex.domain.circuit import Circuit
from cardex.domain.errors import Busy, ConfigurationError, TooSlow, Unavailable

RESET_S = 2.0


class Part:
    """A part that is down until told otherwise, and counts its calls."""

    def __init__(self) -> None:
        self.error: Exception | None = Unavailable("no answer")
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return "answer"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def part() -> Part:
    return Part()


def circuit(clock, *, attempts=1, threshold=3, backoff_s=0.05):
    return Circuit(
        "Milvus",
        attempts=attempts,
        threshold=threshold,
        backoff_s=backoff_s,
        reset_s=RESET_S,
        clock=clock,
        sleep=clock.slept.append,
    )


def fail(guard, part, times):
    for _ in range(times):
        with pytest.raises(Unavailable, match="no answer"):
            guard.call(part)


def test_an_answer_is_passed_on(clock, part):
    part.error = None
    assert circuit(clock).call(part) == "answer"
    assert not clock.slept


def test_a_failing_call_is_tried_again_until_it_succeeds(clock, part):
    def recovers():
        part.error = None if part.calls == 2 else part.error
        return part()

    assert circuit(clock, attempts=3).call(recovers) == "answer"
    assert part.calls == 3


def test_each_retry_waits_longer_with_jitter(clock, part):
    with pytest.raises(Unavailable):
        circuit(clock, attempts=4, threshold=10, backoff_s=0.1).call(part)
    longest = [0.2, 0.4, 0.8]
    assert len(clock.slept) == len(longest)
    for slept, limit in zip(clock.slept, longest, strict=True):
        assert limit / 2 <= slept <= limit


def test_the_last_failure_is_raised_without_another_wait(clock, part):
    with pytest.raises(Unavailable, match="no answer"):
        circuit(clock, attempts=2).call(part)
    assert part.calls == 2
    assert len(clock.slept) == 1


def test_it_stays_closed_below_the_threshold(clock, part):
    guard = circuit(clock)
    fail(guard, part, 2)
    assert not guard.open


def test_it_opens_at_the_threshold(clock, part):
    guard = circuit(clock)
    fail(guard, part, 3)
    assert guard.open


def test_an_open_circuit_fails_at_once_and_says_when_to_come_back(clock, part):
    guard = circuit(clock)
    fail(guard, part, 3)
    with pytest.raises(Unavailable, match="Milvus is down") as caught:
        guard.call(part)
    assert part.calls == 3
    assert caught.value.retry_after_s == RESET_S


def test_a_success_in_between_starts_the_count_anew(clock, part):
    guard = circuit(clock)
    fail(guard, part, 2)
    part.error = None
    guard.call(part)
    part.error = Unavailable("no answer")
    fail(guard, part, 2)
    assert not guard.open


def test_after_the_reset_time_one_call_alone_goes_through(clock, part):
    guard = circuit(clock)
    fail(guard, part, 3)
    clock.now += RESET_S
    refused = []

    def meanwhile() -> str:
        with pytest.raises(Unavailable, match="Milvus is down") as caught:
            guard.call(part)
        refused.append(caught.value)
        return "answer"

    assert guard.call(meanwhile) == "answer"
    assert part.calls == 3
    assert refused


def test_the_call_let_through_closes_the_circuit_when_it_succeeds(clock, part):
    guard = circuit(clock)
    fail(guard, part, 3)
    clock.now += RESET_S
    part.error = None
    guard.call(part)
    assert guard.call(part) == "answer"
    assert not guard.open


def test_the_call_let_through_opens_the_circuit_again_when_it_fails(clock, part):
    guard = circuit(clock)
    fail(guard, part, 3)
    clock.now += RESET_S
    fail(guard, part, 1)
    assert guard.open
    clock.now += RESET_S / 2
    assert guard.open


def test_a_part_that_refuses_the_call_has_answered_and_closes_the_circuit(clock, part):
    guard = circuit(clock)
    fail(guard, part, 3)
    clock.now += RESET_S
    part.error = ConfigurationError("unknown model")
    with pytest.raises(ConfigurationError):
        guard.call(part)
    assert not guard.open


def test_other_errors_are_not_tried_again(clock, part):
    part.error = ConfigurationError("unknown model")
    with pytest.raises(ConfigurationError):
        circuit(clock, attempts=3).call(part)
    assert part.calls == 1


# A part that is slow, and one that is full.


def test_a_part_that_is_too_slow_is_not_asked_again_at_once(clock, part):
    part.error = TooSlow("no answer in time")
    with pytest.raises(TooSlow, match="no answer in time"):
        circuit(clock, attempts=3).call(part)
    assert part.calls == 1
    assert not clock.slept


def test_being_too_slow_is_a_failure(clock, part):
    guard = circuit(clock)
    part.error = TooSlow("no answer")
    fail(guard, part, 3)
    assert guard.open


def test_an_attempt_that_is_too_slow_is_the_last(clock, part):
    def slower():
        part.error = TooSlow("no answer in time") if part.calls == 1 else part.error
        return part()

    with pytest.raises(TooSlow):
        circuit(clock, attempts=5, threshold=10).call(slower)
    assert part.calls == 2


def test_a_part_that_is_full_is_not_asked_again_at_once(clock, part):
    part.error = Busy("the queue is full")
    with pytest.raises(Busy, match="the queue is full"):
        circuit(clock, attempts=3).call(part)
    assert part.calls == 1
    assert not clock.slept


def test_however_often_a_part_is_full_the_circuit_stays_closed(clock, part):
    guard = circuit(clock, threshold=2)
    part.error = Busy("no answer for now")
    fail(guard, part, 5)
    assert part.calls == 5
    assert not guard.open


def test_a_part_that_is_full_has_answered_and_closes_the_circuit(clock, part):
    guard = circuit(clock)
    fail(guard, part, 3)
    clock.now += RESET_S
    part.error = Busy("no answer for now")
    fail(guard, part, 2)
    assert not guard.open


def test_being_full_in_between_starts_the_count_anew(clock, part):
    guard = circuit(clock)
    fail(guard, part, 2)
    part.error = Busy("no answer for now")
    fail(guard, part, 1)
    part.error = Unavailable("no answer")
    fail(guard, part, 2)
    assert not guard.open
