"""Celery's worker on a real broker that refuses what it asks."""

import queue

import pytest
import redis
from celery.contrib.testing.worker import start_worker
from celery.signals import setup_logging

from cardex.domain.jobs import Priority
from cardex.stores.broker import TASK, celery_app, notifier
from tests.helpers.waiting import until

DEADLINE_S = 60.0


@pytest.fixture
def client(valkey):
    client = redis.Redis.from_url(valkey)
    yield client
    client.config_set("min-replicas-to-write", 0)
    client.close()


@pytest.fixture
def own_logging():
    """Keep Celery from setting the logging of this process, which other tests look at."""

    def nothing(**_: object) -> None:
        return

    setup_logging.connect(nothing)
    yield
    setup_logging.disconnect(nothing)


def refusals(client) -> int:
    found = client.info("errorstats").get("errorstat_NOREPLICAS", {"count": 0})
    return int(found["count"])


def test_a_worker_outlives_a_time_in_which_nobody_follows_the_primary(valkey, client, own_logging):
    app = celery_app(valkey)
    taken: queue.Queue[str] = queue.Queue()
    app.task(taken.put, name=TASK)
    worker = start_worker(
        app, pool="solo", perform_ping_check=False, queues=[each.value for each in Priority]
    )
    with worker:
        client.config_set("min-replicas-to-write", 1)
        seen = refusals(client)
        until(lambda: refusals(client) >= seen + 3, seconds=DEADLINE_S)
        client.config_set("min-replicas-to-write", 0)
        notifier(app)(Priority.STAT)
        assert taken.get(timeout=DEADLINE_S) == "stat"
