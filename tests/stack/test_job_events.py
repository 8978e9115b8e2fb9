"""The stream of job changes, against a real Valkey."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from cardex.domain.errors import InvalidQuestion
from cardex.domain.jobs import JobState, Priority, Question
from cardex.stores import job_events as module
from cardex.stores.job_events import JobEvents
from cardex.stores.job_limits import JobLimits
from cardex.stores.job_queue import EVENTS, JobQueue
from cardex.stores.redis import connect
from cardex.stores.submission import Submission, Submitted
from tests.helpers.answers import ANSWER


@pytest.fixture
def client(valkey):
    client = connect(valkey)
    client.flushall()
    return client


@pytest.fixture
def queue(client):
    return JobQueue(client, JobLimits(), lambda _: None)


@pytest.fixture
async def events(valkey, client) -> AsyncIterator[JobEvents]:
    events = JobEvents(valkey)
    yield events
    await events.close()


@pytest.fixture
async def following(events) -> AsyncIterator[JobEvents]:
    task = asyncio.create_task(events.follow())
    while events._complete_after is None:
        await asyncio.sleep(0.01)
    yield events
    task.cancel()


def submit(queue: JobQueue, payload: bytes = b"ecg") -> str:
    one = Submission("ward", Priority.ROUTINE, payload, Question())
    (submitted,) = queue.submit([(one, None)])
    assert isinstance(submitted, Submitted)
    return submitted.job_id


def answer(queue) -> None:
    queue.finish([(claim, ANSWER.message) for claim in queue.claim(Priority.ROUTINE, 10)])


async def states(events, cursor: str, count: int) -> list[JobState]:
    found: list[JobState] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            some = await events.after(cursor)
            cursor = some[-1].cursor
            found += [event.state for event in some]
    return found


WAY = [JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED]


async def test_a_watcher_is_told_every_change_in_order(following, queue):
    cursor = await following.latest()
    watching = asyncio.create_task(states(following, cursor, 3))
    await asyncio.to_thread(submit, queue)
    await asyncio.to_thread(answer, queue)
    assert await watching == WAY


async def test_watchers_ask_the_store_nothing(following, queue, client):
    cursor = await following.latest()
    before = client.info("commandstats").get("cmdstat_xrange", {}).get("calls", 0)
    watching = [asyncio.create_task(states(following, cursor, 3)) for _ in range(50)]
    await asyncio.to_thread(submit, queue)
    await asyncio.to_thread(answer, queue)
    assert await asyncio.gather(*watching) == [WAY] * 50
    assert client.info("commandstats").get("cmdstat_xrange", {}).get("calls", 0) == before


async def test_what_came_before_this_process_is_read_from_the_store(queue, events):
    submit(queue)
    answer(queue)
    task = asyncio.create_task(events.follow())
    while events._complete_after is None:
        await asyncio.sleep(0.01)
    assert await states(events, "0-0", 3) == WAY
    watching = asyncio.create_task(states(events, await events.latest(), 1))
    await asyncio.to_thread(submit, queue, b"another")
    assert await watching == [JobState.QUEUED]
    task.cancel()


async def test_an_end_that_was_just_before_is_told_at_once(following, queue):
    cursor = await following.latest()
    job_id = await asyncio.to_thread(submit, queue)
    await asyncio.to_thread(answer, queue)
    await states(following, cursor, 3)
    with following.ending(job_id) as ended:
        assert ended.done()


async def test_an_end_wakes_who_waits_for_it(following, queue):
    job_id = await asyncio.to_thread(submit, queue)
    with following.ending(job_id) as ended:
        await asyncio.to_thread(answer, queue)
        await asyncio.wait_for(ended, 20)


async def test_an_end_before_the_stream_was_followed_wakes_who_waits(events, queue):
    job_id = submit(queue)
    with events.ending(job_id) as ended:
        answer(queue)
        task = asyncio.create_task(events.follow())
        await asyncio.wait_for(ended, 20)
        task.cancel()


async def test_a_watcher_whose_events_were_dropped_is_told(events, queue, client):
    submit(queue)
    client.xtrim(EVENTS, maxlen=0, approximate=False)
    submit(queue, b"another")
    with pytest.raises(InvalidQuestion) as caught:
        await events.after("1-0")
    assert caught.value.reason == "CURSOR_EXPIRED"


async def test_a_cursor_in_the_future_is_refused(following):
    with pytest.raises(InvalidQuestion) as caught:
        await following.check("999999999999999-0")
    assert caught.value.reason == "CURSOR"


async def test_what_is_forgotten_is_read_from_the_store(following, queue, monkeypatch):
    monkeypatch.setattr(module, "REMEMBERED", 2)
    cursor = await following.latest()
    for number in range(6):
        await asyncio.to_thread(submit, queue, bytes([number]))
    await states(following, cursor, 6)
    assert len(following._recent) <= 5
    assert await states(following, cursor, 6) == [JobState.QUEUED] * 6


async def test_a_cursor_whose_events_are_gone_is_refused(events, queue, client):
    submit(queue, b"first")
    submit(queue, b"second")
    first, _ = await events.after("0-0")
    await events.check(first.cursor)
    client.xtrim(EVENTS, maxlen=0, approximate=False)
    submit(queue, b"third")
    with pytest.raises(InvalidQuestion) as caught:
        await events.check(first.cursor)
    assert caught.value.reason == "CURSOR_EXPIRED"
