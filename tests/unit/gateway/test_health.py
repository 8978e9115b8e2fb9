import threading
from types import SimpleNamespace
from typing import cast

import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse

from cardex.domain.errors import ConfigurationError, IndexMissing, Unavailable, VersionMismatch
from cardex.domain.jobs import Priority
from cardex.gateway import health as module
from cardex.gateway.health import INDEX, PATIENCE_TICKS, RETRIEVAL, HealthMonitor
from cardex.retrieval.dependencies import Dependencies
from cardex.stores.job_queue import Swept
from tests.helpers.fake_store import FakeStore
from tests.helpers.house import House


class Health:
    """Keeps what the health service is told."""

    def __init__(self) -> None:
        self.status: dict[str, str] = {}

    async def set(self, service, status):
        self.status[service] = HealthCheckResponse.ServingStatus.Name(status)


class Jobs:
    def __init__(self) -> None:
        self.swept: dict[Priority, Swept] = {}
        self.error = None
        self.asked: list[Priority] = []
        self.hangs: threading.Event | None = None

    def sweep(self, priority):
        self.asked.append(priority)
        if self.hangs is not None:
            assert self.hangs.wait(20)
        if self.error is not None:
            raise self.error
        return self.swept.get(priority, Swept(0, 0))


class Keys:
    def __init__(self) -> None:
        self.reloads, self.error = 0, None

    def reload(self):
        self.reloads += 1
        if self.error is not None:
            raise self.error


@pytest.fixture
def world():
    house = House()
    world = SimpleNamespace(house=house, jobs=Jobs(), health=Health(), keys=Keys())
    parts = SimpleNamespace(jobs=world.jobs, encoder=house.encoder, active_index=house.active_index)
    world.ticks = []
    world.monitor = HealthMonitor(
        cast(Dependencies, parts), world.health, world.keys, lambda: world.ticks.append(1)
    )
    return world


ALL_WELL = {"": "SERVING", RETRIEVAL: "SERVING", INDEX: "SERVING"}
NO_ANSWERS = {"": "NOT_SERVING", RETRIEVAL: "NOT_SERVING", INDEX: "SERVING"}
NOTHING = dict.fromkeys(ALL_WELL, "NOT_SERVING")


def test_before_the_first_tick_nothing_is_promised(world):
    with pytest.raises(Unavailable, match="starting"):
        world.monitor.require()


async def test_it_serves_where_all_is_well(world):
    await world.monitor.tick()
    world.monitor.require()
    assert world.health.status == ALL_WELL


@pytest.mark.parametrize(
    "index", [None, FakeStore("model-0").index], ids=["missing", "of another model"]
)
async def test_without_an_index_that_fits_only_the_index_is_served(world, index):
    world.house.store.index = index
    await world.monitor.tick()
    with pytest.raises((IndexMissing, VersionMismatch)):
        world.monitor.require()
    assert world.health.status == NO_ANSWERS


async def test_each_look_is_told_whatever_it_finds(world):
    await world.monitor.tick()
    world.house.encoder.error = Unavailable("Triton is down")
    await world.monitor.tick()
    assert len(world.ticks) == 2


async def test_while_a_part_is_down_nothing_is_served(world):
    world.house.encoder.error = Unavailable("Triton is down")
    await world.monitor.tick()
    with pytest.raises(Unavailable, match="Triton is down"):
        world.monitor.require()
    assert world.health.status == NOTHING


async def test_while_the_state_store_is_down_nothing_is_served(world):
    world.jobs.error = Unavailable("the state store does not answer")
    await world.monitor.tick()
    assert world.health.status == NOTHING


async def test_it_recovers_with_the_part(world):
    world.house.encoder.error = Unavailable("Triton is down")
    await world.monitor.tick()
    world.house.encoder.error = None
    await world.monitor.tick()
    world.monitor.require()
    assert world.health.status == ALL_WELL


async def test_an_outage_lasts_after_some_ticks_and_not_before(world):
    world.house.encoder.error = Unavailable("Triton is down")
    for _ in range(PATIENCE_TICKS - 1):
        await world.monitor.tick()
    assert not world.monitor.lasting_outage.is_set()
    await world.monitor.tick()
    assert world.monitor.lasting_outage.is_set()


async def test_an_outage_that_ends_lasts_no_more(world):
    world.house.encoder.error = Unavailable("Triton is down")
    for _ in range(PATIENCE_TICKS):
        await world.monitor.tick()
    world.house.encoder.error = None
    await world.monitor.tick()
    assert not world.monitor.lasting_outage.is_set()


async def test_every_queue_is_swept(world):
    await world.monitor.tick()
    assert world.jobs.asked == list(Priority)


async def test_a_part_that_hangs_is_said_and_examined_by_one_thread_only(world, monkeypatch):
    monkeypatch.setattr(module, "EXAMINATION_S", 0.05)
    world.jobs.hangs = threading.Event()
    await world.monitor.tick()
    await world.monitor.tick()
    with pytest.raises(Unavailable, match="has not answered"):
        world.monitor.require()
    assert world.health.status == NOTHING
    assert world.jobs.asked == [Priority.STAT]
    world.jobs.hangs.set()
    while world.health.status != ALL_WELL:
        await world.monitor.tick()


async def test_each_tick_looks_at_the_key_file(world):
    await world.monitor.tick()
    await world.monitor.tick()
    assert world.keys.reloads == 2


async def test_a_broken_key_file_does_not_stop_the_ticks(world):
    world.keys.error = ConfigurationError("cannot read the API keys")
    await world.monitor.tick()
    assert world.health.status == ALL_WELL
