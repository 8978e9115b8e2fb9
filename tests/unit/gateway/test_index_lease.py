import asyncio

import pytest

from cardex.domain.errors import Overloaded, Unavailable
from cardex.gateway import index_lease as writing
from cardex.gateway.index_lease import alone
from tests.helpers.fakes import FakeClock, FakeLease


@pytest.fixture
def clock(monkeypatch):
    return FakeClock.installed(monkeypatch, writing)


@pytest.fixture
def held() -> list[FakeLease]:
    return []


@pytest.fixture
def leases(held):
    return lambda: FakeLease(held, 15.0)


async def test_one_writes_at_a_time(leases):
    async with alone(leases):
        with pytest.raises(Overloaded, match="try again in 15 s") as caught:
            async with alone(leases):
                pytest.fail("two write")
        assert caught.value.reason == "INDEX_BUSY"
    async with alone(leases) as writer:
        writer.require()


async def test_it_is_released_when_the_writer_fails(leases, held):
    with pytest.raises(RuntimeError):
        async with alone(leases):
            raise RuntimeError
    assert held == []


async def test_it_is_renewed_while_the_writer_writes(held):
    async with asyncio.timeout(20), alone(lambda: FakeLease(held, 0.03)):
        while held[0].renewals < 3:
            await asyncio.sleep(0.01)


async def test_a_renewed_right_lasts_from_then_on(leases, clock):
    async with alone(leases) as writer:
        clock.now += 14.0
        await writer.renew()
        clock.now += 14.0
        writer.require()
        clock.now += 1.0
        _refused(writer)


async def test_a_writer_whose_lease_is_another_s_stops_at_once(leases, held):
    async with alone(leases) as writer:
        held.clear()
        await writer.renew()
        _refused(writer)


async def test_a_state_store_that_is_away_is_borne_until_the_lease_ends(leases, held, clock):
    async with alone(leases) as writer:
        held[0].error = Unavailable("the state store does not answer")
        clock.now += 14.0
        await writer.renew()
        writer.require()
        clock.now += 1.0
        _refused(writer)
        held[0].error = None
        await writer.renew()
        writer.require()


def _refused(writer) -> None:
    with pytest.raises(Unavailable, match="send the reports again") as caught:
        writer.require()
    assert caught.value.reason == "INDEX_BUSY"
