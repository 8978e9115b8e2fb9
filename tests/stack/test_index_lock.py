"""The lock of the index's writers, against a real Valkey."""

import pytest

from cardex.domain.errors import Unavailable
from cardex.local_stack.ports import free_ports
from cardex.stores.index_lock import IndexLock
from cardex.stores.redis import connect
from tests.helpers.waiting import until


@pytest.fixture
def client(valkey):
    client = connect(valkey)
    client.flushall()
    return client


def test_one_holds_it_and_another_has_it_afterwards(client):
    mine, other = IndexLock(client, "index", 30.0), IndexLock(client, "index", 30.0)
    assert mine.take()
    assert not other.take()
    assert IndexLock(client, "something else", 30.0).take()
    mine.release()
    assert other.take()


def test_a_holder_that_died_is_waited_for_no_longer_than_the_lease(client):
    assert IndexLock(client, "index", 0.2).take()
    other = IndexLock(client, "index", 30.0)
    until(other.take, seconds=10.0)


def test_a_renewed_lease_lasts_and_a_lost_one_is_not_taken_from_its_new_holder(client):
    mine, other = IndexLock(client, "index", 30.0), IndexLock(client, "index", 30.0)
    assert mine.take()
    client.pexpire("cardex:lock:index", 20_000)
    assert mine.renew()
    assert client.pttl("cardex:lock:index") > 29_000
    client.delete("cardex:lock:index")
    assert not mine.renew()
    assert other.take()
    assert not mine.renew()
    mine.release()
    assert not IndexLock(client, "index", 30.0).take()


def test_without_redis_nothing_is_held():
    lease = IndexLock(connect(f"redis://127.0.0.1:{free_ports(1)[0]}"), "index", 30.0)
    with pytest.raises(Unavailable, match="state store"):
        lease.take()
    lease.release()
