import msgspec
import numpy as np
import pytest
import redis

from cardex.domain.cases import CaseFilter, Nearness
from cardex.domain.errors import Unavailable
from cardex.domain.index import IndexInfo
from cardex.domain.jobs import Question
from cardex.domain.quality import SignalQuality, SignalWarning
from cardex.stores.answer_cache import AT_ONCE, AnswerCache, answer_key

QUALITY = SignalQuality(0.9, 66.0, (SignalWarning("LEAD_FLAT", "no signal", ("V1",)),))
ANSWER = b"an encoded answer"
INDEX = IndexInfo("reports_1", "g1", "m", 1.0, 4, "FLAT")
MARK = "cardex:erased:reports_1"


class FakeRedis:
    """The commands that the cache uses."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.ttl_ms: set[int] = set()
        self.unlinked: list[str] = []
        self.units: list[int] = []
        self.error: redis.RedisError | None = None

    def mget(self, keys):
        if self.error:
            raise self.error
        return [self.stored.get(key) for key in keys]

    def scan_iter(self, match, count):
        assert match.endswith("*")
        if self.error:
            raise self.error
        yield from [key for key in self.stored if key.startswith(match[:-1])]

    def pipeline(self, *, transaction):
        self.unlinked.clear()
        return self

    def __len__(self):
        return len(self.unlinked)

    def unlink(self, key):
        self.unlinked.append(key)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def set(self, key, value, px):
        if self.error:
            raise self.error
        self.stored[key] = value
        self.ttl_ms.add(px)

    def register_script(self, _body):
        """Stores without a look at the mark, which tests/stack looks at."""

        def put(keys, args):
            (_generation, px, *values) = args
            for key, value in zip(keys[1:], values, strict=True):
                self.set(key, value, px)

        return put

    def execute(self):
        if self.error:
            raise self.error
        self.units.append(len(self.unlinked))
        for key in self.unlinked:
            self.stored.pop(key, None)
        self.unlinked.clear()


@pytest.fixture
def client():
    return FakeRedis()


@pytest.fixture
def cache(client):
    return AnswerCache(client, ttl_s=60.0)


def test_a_stored_answer_comes_back_as_it_was(cache, client):
    cache.put_answers({"a": ANSWER}, INDEX)
    assert client.stored == {"a": ANSWER}
    assert cache.answers(["a", "b"]) == [ANSWER, None]


def test_a_stored_embedding_comes_back_with_its_signal_quality(cache):
    vector = np.linspace(-1, 1, 16, dtype=np.float32)
    cache.put_embeddings({"sha": (vector, QUALITY)}, "m", INDEX)
    ((found, quality), missing) = cache.embeddings(["sha", "other"], "m")
    np.testing.assert_array_equal(found, vector)
    assert quality == QUALITY
    assert missing is None


def test_an_embedding_belongs_to_its_model(cache):
    cache.put_embeddings({"sha": (np.ones(4, np.float32), ())}, "m", INDEX)
    assert cache.embeddings(["sha"], "m2") == [None]


def test_entries_expire(cache, client):
    cache.put_answers({"a": ANSWER}, INDEX)
    assert client.ttl_ms == {60_000}


@pytest.mark.parametrize("error", [redis.ConnectionError("x"), redis.TimeoutError("x")])
def test_a_cache_that_is_down_is_an_empty_cache(cache, client, error):
    cache.put_answers({"a": ANSWER}, INDEX)
    client.error = error
    assert cache.answers(["a"]) == [None]
    assert cache.embeddings(["sha"], "m") == [None]


def test_a_cache_that_is_full_loses_only_time(cache, client):
    client.error = redis.OutOfMemoryError("x")
    cache.put_answers({"a": ANSWER}, INDEX)
    cache.put_embeddings({"sha": (np.ones(4, np.float32), ())}, "m", INDEX)


def test_nothing_is_sent_for_nothing(cache, client):
    client.error = redis.ConnectionError("x")
    assert cache.answers([]) == []
    assert cache.embeddings([], "m") == []


@pytest.mark.parametrize(
    "damage",
    [b"\x82", b"\xc0", msgspec.msgpack.encode({"vector": b"odd", "quality": {"index": 1.0}})],
    ids=["half", "null", "odd bytes"],
)
def test_an_embedding_of_another_release_is_no_embedding(cache, client, damage):
    cache.put_embeddings({"sha": (np.ones(4, np.float32), ())}, "m", INDEX)
    client.stored = dict.fromkeys(client.stored, damage)
    assert cache.embeddings(["sha"], "m") == [None]


KEY = ("sha", Question(3), "m", "g")


@pytest.mark.parametrize(
    "other",
    [
        ("sha2", Question(3), "m", "g"),
        ("sha", Question(4), "m", "g"),
        ("sha", Question(3, 8), "m", "g"),
        ("sha", Question(3, by=Nearness.ECG), "m", "g"),
        ("sha", Question(3, filter=CaseFilter(min_age=0)), "m", "g"),
        ("sha", Question(3, trace=True), "m", "g"),
        ("sha", Question(3, archive="north"), "m", "g"),
        ("sha", Question(3), "m2", "g"),
        ("sha", Question(3), "m", "g2"),
    ],
    ids=[
        "payload",
        "question",
        "re-ranking",
        "nearness",
        "filter",
        "trace",
        "archive",
        "model",
        "generation",
    ],
)
def test_everything_that_an_answer_depends_on_is_in_its_key(other):
    assert answer_key(*other) != answer_key(*KEY)


def test_the_same_question_has_the_same_key():
    assert answer_key(*KEY) == answer_key("sha", Question(top_k=3), "m", "g")


def test_a_key_shows_nothing_of_the_ecg():
    assert "sha" not in answer_key(*KEY).removeprefix("cardex:cache:result:")


# Forgetting.


def test_answers_and_embeddings_are_forgotten_and_nothing_else(cache, client):
    cache.put_answers({answer_key(*KEY): ANSWER}, INDEX)
    cache.put_embeddings({"sha": (np.ones(4, np.float32), QUALITY)}, "m", INDEX)
    client.stored |= {"cardex:job:1": b"a job", "other": b"of another"}
    cache.forget(INDEX)
    assert set(client.stored) == {"cardex:job:1", "other", MARK}
    assert cache.answers([answer_key(*KEY)]) == [None]


def test_many_entries_are_forgotten_some_at_a_time(cache, client):
    cache.put_answers({f"cardex:cache:result:{n}": ANSWER for n in range(2 * AT_ONCE + 1)}, INDEX)
    client.units.clear()
    cache.forget(INDEX)
    assert set(client.stored) == {MARK}
    assert client.units == [AT_ONCE, AT_ONCE, 1]


def test_a_cache_that_is_down_is_said_to_have_forgotten_nothing(cache, client):
    cache.put_answers({answer_key(*KEY): ANSWER}, INDEX)
    client.error = redis.ConnectionError("x")
    with pytest.raises(Unavailable):
        cache.forget(INDEX)
    client.error = None
    assert cache.answers([answer_key(*KEY)]) == [ANSWER]
