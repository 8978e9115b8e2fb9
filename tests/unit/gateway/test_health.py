from types import SimpleNamespace

import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse

from cardex.domain.errors import ConfigurationError, IndexMissing, Unavailable, VersionMismatch
from cardex.domain.jobs import Priority
from cardex.gateway.health import INDEX, PATIENCE_BEATS, RETRIEVAL, HealthMonitor
from cardex.stores.job_queue import Swept
from tests.helpers.fakes import FakeDoorbell, FakeStore, House


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

    def sweep(self, priority):
        if self.error is not None:
            raise self.error
        return self.swept.get(priority, Swept(0, 0, False))


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
    world = SimpleNamespace(
        house=house, jobs=Jobs(), health=Health(), bell=FakeDoorbell(), keys=Keys()
    )
    parts = SimpleNamespace(jobs=world.jobs, encoder=house.encoder, catalogue=house.catalogue)
    world.pulse = HealthMonitor(parts, world.bell, world.health, world.keys)
    return world


ALL_WELL = {"": "SERVING", RETRIEVAL: "SERVING", INDEX: "SERVING"}
NO_ANSWERS = {"": "NOT_SERVING", RETRIEVAL: "NOT_SERVING", INDEX: "SERVING"}
NOTHING = dict.fromkeys(ALL_WELL, "NOT_SERVING")


def test_before_the_first_beat_nothing_is_promised(world):
    with pytest.raises(Unavailable, match="starting"):
        world.pulse.require()


async def test_it_serves_where_all_is_well(world):
    await world.pulse.beat()
    world.pulse.require()
    assert world.health.status == ALL_WELL


@pytest.mark.parametrize(
    "index", [None, FakeStore("model-0").index], ids=["missing", "of another model"]
)
async def test_without_an_index_that_fits_only_the_index_is_served(world, index):
    world.house.store.index = index
    await world.pulse.beat()
    with pytest.raises((IndexMissing, VersionMismatch)):
        world.pulse.require()
    assert world.health.status == NO_ANSWERS


async def test_while_a_part_is_down_nothing_is_served(world):
    world.house.encoder.error = Unavailable("Triton is down")
    await world.pulse.beat()
    with pytest.raises(Unavailable, match="Triton is down"):
        world.pulse.require()
    assert world.health.status == NOTHING


async def test_while_the_state_store_is_down_nothing_is_served(world):
    world.jobs.error = Unavailable("the state store does not answer")
    await world.pulse.beat()
    assert world.health.status == NOTHING


async def test_it_recovers_with_the_part(world):
    world.house.encoder.error = Unavailable("Triton is down")
    await world.pulse.beat()
    world.house.encoder.error = None
    await world.pulse.beat()
    world.pulse.require()
    assert world.health.status == ALL_WELL


async def test_a_trouble_lasts_after_some_beats_and_not_before(world):
    world.house.encoder.error = Unavailable("Triton is down")
    for _ in range(PATIENCE_BEATS - 1):
        await world.pulse.beat()
    assert not world.pulse.lasting.is_set()
    await world.pulse.beat()
    assert world.pulse.lasting.is_set()


async def test_a_trouble_that_ends_lasts_no_more(world):
    world.house.encoder.error = Unavailable("Triton is down")
    for _ in range(PATIENCE_BEATS):
        await world.pulse.beat()
    world.house.encoder.error = None
    await world.pulse.beat()
    assert not world.pulse.lasting.is_set()


async def test_a_queue_whose_wake_up_was_lost_is_rung(world):
    world.jobs.swept[Priority.STAT] = Swept(1, 0, True)
    await world.pulse.beat()
    assert world.bell.rung == [Priority.STAT]


async def test_each_beat_looks_at_the_key_file(world):
    await world.pulse.beat()
    await world.pulse.beat()
    assert world.keys.reloads == 2


async def test_a_broken_key_file_does_not_stop_the_pulse(world):
    world.keys.error = ConfigurationError("cannot read the API keys")
    await world.pulse.beat()
    assert world.health.status == ALL_WELL
