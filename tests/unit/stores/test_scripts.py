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

    def pipeline(self, *, transaction):
        assert not transaction
        return FakePipeline(self)


class FakePipeline:
    def __init__(self, server: FakeRedis) -> None:
        self._server = server
        self._calls: list[tuple[str, str]] = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def evalsha(self, sha, keys, argument):
        assert keys == 0
        self._calls.append((sha, argument))

    def execute(self, *, raise_on_error):
        assert not raise_on_error
        self._server.trips.append(len(self._calls))
        if self._server.down is not None:
            raise self._server.down
        return [self._outcome(sha, argument) for sha, argument in self._calls]

    def _outcome(self, sha, argument):
        try:
            return self._server._reply(sha, argument)
        except redis.RedisError as error:
            return error


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


def many(*names: str) -> list[list[str]]:
    return [[name] for name in names]


def test_a_script_is_loaded_when_the_server_does_not_know_it(server, scripts):
    assert scripts.run(NAME, ["a"]) == "a"
    assert scripts.run(NAME, ["b"]) == "b"
    assert len(server.loaded) == 1
    assert server.trips == [1, 1, 1]


def test_many_calls_take_one_round_trip(server, known):
    assert known.run_many(NAME, many("a", "b", "c")) == ["a", "b", "c"]
    assert server.trips == [3]


def test_many_calls_of_a_script_that_is_not_known_load_it_once(server, scripts):
    assert scripts.run_many(NAME, many("a", "b", "c")) == ["a", "b", "c"]
    assert len(server.loaded) == 1
    assert server.ran == ["a", "b", "c"]


@pytest.mark.parametrize("forgotten", [{"b"}, {"a", "c"}])
def test_only_the_calls_that_were_not_run_are_run_again(server, known, forgotten):
    server.forgets = set(forgotten)
    assert known.run_many(NAME, many("a", "b", "c")) == ["a", "b", "c"]
    assert sorted(server.ran) == ["a", "b", "c"]
    assert server.trips == [3, len(forgotten)]
    assert len(server.loaded) == 2


def test_nothing_is_sent_for_nothing(server, scripts):
    assert scripts.run_many(NAME, []) == []
    assert server.trips == []


@pytest.mark.parametrize("calls", [["bad"], ["a", "bad", "c"]], ids=["single", "many"])
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (redis.OutOfMemoryError("OOM"), Overloaded),
        (redis.ReadOnlyError("replica"), Unavailable),
        (redis.ResponseError("MISCONF"), Unavailable),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_an_error_of_one_call_is_raised_and_stops_no_other(server, known, calls, error, kind):
    server.errors["bad"] = error
    with pytest.raises(kind):
        known.run_many(NAME, many(*calls))
    assert server.ran == calls


def test_an_error_of_a_call_that_is_run_again_is_raised_too(server, scripts):
    server.errors["bad"] = redis.OutOfMemoryError("OOM")
    with pytest.raises(Overloaded):
        scripts.run_many(NAME, many("a", "bad"))


@pytest.mark.parametrize("calls", [["a"], ["a", "b"]], ids=["single", "many"])
def test_a_server_that_is_down_is_unavailable(server, known, calls):
    server.down = redis.ConnectionError("refused")
    with pytest.raises(Unavailable):
        known.run_many(NAME, many(*calls))


def test_only_a_submission_may_be_refused_for_lack_of_memory(server, scripts):
    scripts.run("submit", ["a"])
    scripts.run(NAME, ["a"])
    first_lines = [body.splitlines()[0] for body in server.loaded]
    assert first_lines == ["#!lua", "#!lua flags=allow-oom"]
