import threading

import pytest

from cardex.api.archive.patience import ENDED, Patience, may_pass
from cardex.domain.errors import (
    Busy,
    CardexError,
    DeadlineExceeded,
    IndexMissing,
    InvalidEcg,
    Overloaded,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
    VersionMismatch,
)


class Waits(threading.Event):
    """Keeps what is waited for, and waits for nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout=None):
        self.seconds.append(timeout)
        return False


@pytest.fixture
def waits():
    return Waits()


@pytest.fixture
def now():
    return [100.0]


@pytest.fixture
def patience(waits, now):
    return Patience(60.0, waits, lambda: now[0])


def test_waits_grow_with_the_silence_up_to_a_limit(patience, waits, now):
    for seconds in (100.0, 104.0, 150.0):
        now[0] = seconds
        patience.wait_after(Unavailable("down"))
    first, second, last = waits.seconds
    assert 0.1 <= first <= 0.2
    assert 0.5 <= second <= 1.0
    assert 2.5 <= last <= 5.0


def test_the_delay_that_the_gateway_asks_for_is_waited(patience, waits):
    patience.wait_after(Overloaded("full", retry_after_s=17.0))
    assert waits.seconds == [17.0]


def test_patience_ends_with_what_was_said_last_and_a_word_renews_it(patience, now):
    now[0] = 150.0
    patience.heard()
    now[0] = 209.0
    patience.wait_after(Unavailable("down"))
    now[0] = 210.0
    with pytest.raises(Unavailable, match=r"1\.0 minutes; it last said: down") as caught:
        patience.wait_after(Unavailable("down"))
    assert caught.value.reason == ENDED


@pytest.mark.parametrize("kind", [Unauthenticated, PermissionDenied, VersionMismatch, IndexMissing])
def test_what_the_operator_must_mend_is_raised_at_once(patience, waits, kind):
    with pytest.raises(kind):
        patience.wait_after(kind("mend me"))
    assert waits.seconds == []


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (Unavailable(""), True),
        (Busy(""), True),
        (DeadlineExceeded(""), True),
        (Overloaded("", reason="BACKLOG_FULL"), True),
        (Overloaded("", reason="RESOURCE_EXHAUSTED"), False),
        (InvalidEcg(""), False),
        (CardexError(""), False),
    ],
)
def test_what_may_pass_is_tried_again(error, passes):
    assert may_pass(error) is passes
