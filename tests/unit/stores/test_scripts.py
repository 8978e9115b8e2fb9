import hashlib
from typing import cast

import pytest
import redis
from redis.exceptions import NoScriptError

from cardex.domain.errors import Overloaded, Unavailable
from cardex.stores.scripts import Scripts

NAME = "finish"


class FakeRedis:
    """Knows the scripts that it was given, and runs one by returning its first argument.

    Attributes:
        loaded: the body of each script, in the order in which they were loaded.
        forgets: arguments at which the server turns out to have forgotten its scripts, once.
        errors: the error of each argument that fails.
        trips: how many calls each round trip had.
        ran: the first argument of each call that was run.
    """

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.forgets: set[str] = set()
        self.errors: dict[str, redis.RedisError] = {}
        self.trips: list[int] = []
        self.ran: list[str] = []
        self.down: redis.RedisError | None = None

    def script_load(self, body: str) -> str:
        self.loaded.append(body)
        return hashlib.sha1(body.encode()).hexdigest()

    def _reply(self, sha: str, argument: str) -> str:
        known = {hashlib.sha1(body.encode()).hexdigest() for body in self.loaded}
        if sha not in known or argument in self.forgets:
            self.forgets.discard(argument)
            raise NoScriptError("NOSCRIPT")
        self.ran.append(argument)
        if argument in self.errors:
            raise self.errors[argument]
        return argument

    def evalsha(self, sha, keys, argument):
        assert keys == 0
        self.trips.append(1)
        if self.down is not None:
            raise self.down
        return self._reply(sha, argument)


@pytest.fixture
def server():
    return FakeRedis()


@pytest.fixture
def scripts(server):
    return Scripts(cast(redis.Redis, server), ["submit", NAME])


@pytest.fixture
def known(server, scripts):
    """The scripts on a server that knows them."""
    scripts.run(NAME, ["first"])
    server.trips.clear()
    server.ran.clear()
    server.loaded = server.loaded[:1]
    return scripts


def test_a_script_is_loaded_when_the_server_does_not_know_it(server, scripts):
    assert scripts.run(NAME, ["a"]) == "a"
    assert scripts.run(NAME, ["b"]) == "b"
    assert len(server.loaded) == 1
    assert server.trips == [1, 1, 1]


def test_a_script_that_the_server_forgot_is_loaded_again_and_run_once(server, known):
    server.forgets = {"a"}
    assert known.run(NAME, ["a"]) == "a"
    assert server.ran == ["a"]
    assert server.trips == [1, 1]
    assert len(server.loaded) == 2


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (redis.OutOfMemoryError("OOM"), Overloaded),
        (redis.ReadOnlyError("replica"), Unavailable),
        (redis.ResponseError("MISCONF"), Unavailable),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_an_error_is_raised_and_the_call_is_not_repeated(server, known, error, kind):
    server.errors["bad"] = error
    with pytest.raises(kind):
        known.run(NAME, ["bad"])
    assert server.ran == ["bad"]


def test_an_error_of_a_call_that_is_run_again_is_raised_too(server, scripts):
    server.errors["bad"] = redis.OutOfMemoryError("OOM")
    with pytest.raises(Overloaded):
        scripts.run(NAME, ["bad"])


def test_a_server_that_is_down_is_unavailable(server, known):
    server.down = redis.ConnectionError("refused")
    with pytest.raises(Unavailable):
        known.run(NAME, ["a"])


def test_only_a_submission_may_be_refused_for_lack_of_memory(server, scripts):
    scripts.run("submit", ["a"])
    scripts.run(NAME, ["a"])
    first_lines = [body.splitlines()[0] for body in server.loaded]
    assert first_lines == ["#!lua", "#!lua flags=allow-oom"]
