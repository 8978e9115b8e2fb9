import pytest

from cardex.domain.errors import Overloaded, PayloadTooLarge
from cardex.gateway.rate_limit import RateLimit, check_size

MANY = 1e6


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def taken(limit: RateLimit, name: str = "a") -> int:
    """Take tokens until there is none; returns how many there were."""
    count = 0
    while limit.wait_s(name) == 0.0:
        count += 1
    return count


def test_a_caller_may_send_one_seconds_worth_at_once(clock):
    assert taken(RateLimit(5.0, MANY, clock)) == 5


@pytest.mark.parametrize("per_s", [0.1, 0.5, 1.0, 1.5, 1000.0])
def test_the_first_submission_of_a_caller_goes_through(clock, per_s):
    assert RateLimit(per_s, MANY, clock).wait_s("a") == 0.0


def test_tokens_come_back_with_time(clock):
    limit = RateLimit(5.0, MANY, clock)
    taken(limit)
    clock.now += 0.4
    assert taken(limit) == 2


def test_no_more_than_one_seconds_worth_is_saved(clock):
    limit = RateLimit(5.0, MANY, clock)
    taken(limit)
    clock.now += 3600.0
    assert taken(limit) == 5


def test_the_wait_is_as_long_as_the_next_token_takes(clock):
    limit = RateLimit(4.0, MANY, clock)
    taken(limit)
    assert limit.wait_s("a") == pytest.approx(0.25)
    clock.now += 0.25
    assert limit.wait_s("a") == 0.0


def test_asking_again_and_again_costs_nothing(clock):
    limit = RateLimit(4.0, MANY, clock)
    taken(limit)
    assert [limit.wait_s("a") for _ in range(10)] == pytest.approx([0.25] * 10)


def test_every_caller_has_its_own_tokens(clock):
    limit = RateLimit(5.0, MANY, clock)
    taken(limit, "a")
    assert taken(limit, "b") == 5


def test_a_slow_rate_is_kept(clock):
    limit = RateLimit(0.5, MANY, clock)
    taken(limit)
    sent = 0
    for _ in range(20):
        clock.now += 1.0
        sent += taken(limit)
    assert sent == 10


def test_over_the_rate_is_overload_with_the_delay(clock):
    limit = RateLimit(4.0, MANY, clock)
    taken(limit)
    with pytest.raises(Overloaded, match="more than 4 submissions a second") as caught:
        limit.check("a")
    assert caught.value.reason == "RATE_LIMIT"
    assert caught.value.retry_after_s == pytest.approx(0.25)


def test_within_the_rate_nothing_is_raised(clock):
    RateLimit(4.0, MANY, clock).check("a")


def test_a_payload_of_the_limit_is_taken():
    check_size(bytes(1024), 1024)


def test_a_payload_over_the_limit_is_refused_with_the_setting():
    with pytest.raises(PayloadTooLarge, match=r"1025 bytes: at most 1024.*MAX_PAYLOAD") as caught:
        check_size(bytes(1025), 1024)
    assert caught.value.field == "ecg"


def test_all_callers_together_have_a_limit_too(clock):
    limit = RateLimit(5.0, 8.0, clock)
    assert [taken(limit, name) for name in "abc"] == [5, 3, 0]
    clock.now += 0.5
    assert [taken(limit, name) for name in "cba"] == [4, 0, 0]


def test_a_caller_that_waits_for_all_keeps_its_own_tokens(clock):
    limit = RateLimit(5.0, 1.0, clock)
    assert taken(limit, "a") == 1
    assert limit.wait_s("b") == pytest.approx(1.0)
    clock.now += 1.0
    assert limit.wait_s("b") == 0.0


def test_a_stream_leaves_some_of_the_rate_to_others(clock):
    limit = RateLimit(10.0, 20.0, clock)
    streamed = 0
    while limit.wait_s("a", 0.2) == 0.0:
        streamed += 1
    assert streamed == 8
    assert taken(limit, "a") == 2


def test_a_stream_of_a_slow_rate_goes_on(clock):
    limit = RateLimit(1.0, 1.0, clock)
    for _ in range(3):
        assert limit.wait_s("a", 0.1) == 0.0
        clock.now += 1.0
