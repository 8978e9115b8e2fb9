import pytest
import redis

from cardex.domain.errors import Overloaded, Unavailable
from cardex.stores.redis import connect, mapped


def test_a_store_out_of_memory_is_overload():
    error = redis.OutOfMemoryError("OOM command not allowed")
    with pytest.raises(Overloaded, match="out of memory") as caught, mapped("the state store"):
        raise error
    assert caught.value.reason == "STORE_FULL"
    assert caught.value.retry_after_s


@pytest.mark.parametrize(
    "error",
    [
        redis.ConnectionError("refused"),
        redis.TimeoutError("slow"),
        redis.BusyLoadingError("loading"),
        redis.ReadOnlyError("replica"),
        redis.ResponseError("MISCONF cannot write"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_other_trouble_is_a_store_that_does_not_answer(error):
    name = type(error).__name__
    with pytest.raises(Unavailable, match=name) as caught, mapped("the state store"):
        raise error
    assert caught.value.retry_after_s
    assert caught.value.__cause__ is error


def test_other_errors_pass():
    with pytest.raises(KeyError), mapped("the state store"):
        raise KeyError("x")


def test_a_client_connects_only_when_it_is_used():
    client = connect("redis://127.0.0.1:1/0")
    assert client.connection_pool.connection_kwargs["port"] == 1
    with pytest.raises(Unavailable), mapped("the state store"):
        client.ping()
