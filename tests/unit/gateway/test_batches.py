import asyncio

import pytest

from cardex.api.pb.internal.v1.envelope_pb2 import BatchEnvelope
from cardex.api.pb.v1 import ecg_pb2, job_pb2
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.domain.errors import Overloaded
from cardex.domain.settings import Settings
from cardex.gateway import batches
from cardex.gateway.batches import BatchStream
from tests.helpers.gateway import ICU, Parts

NO_TIME_S = 0.001


def item(name: str, size: int = 8, **fields) -> BatchEnvelope:
    ecg = ecg_pb2.Ecg(file=ecg_pb2.ClinicalFile(content=name.encode().ljust(size)))
    sent = pb.SubmitBatchRequest(item_id=name, ecg=ecg, **fields).SerializeToString()
    return BatchEnvelope.FromString(sent)


async def stream(*items: BatchEnvelope):
    for one in items:
        yield one


@pytest.fixture
def parts():
    return Parts()


async def responses(parts, requests) -> list[pb.SubmitBatchResponse]:
    return [
        pb.SubmitBatchResponse.FromString(response.SerializeToString())
        async for response in BatchStream(parts.service, ICU).responses(requests)
    ]


async def names(parts, requests) -> list[str]:
    return [response.item_id for response in await responses(parts, requests)]


async def test_every_item_is_acknowledged_in_the_order_of_the_stream(parts):
    wanted = [str(number) for number in range(200)]
    assert await names(parts, stream(*map(item, wanted))) == wanted
    assert len(parts.jobs.submitted) == 200


async def test_an_empty_stream_ends(parts):
    assert await names(parts, stream()) == []


async def test_what_has_arrived_is_one_unit(parts):
    await names(parts, stream(*(item(str(number)) for number in range(300))))
    assert max(parts.jobs.units) == batches.UNIT_ITEMS
    assert len(parts.jobs.units) < 20


async def test_a_lone_item_waits_for_no_other(parts):
    gate = asyncio.Event()

    async def one_then_another():
        yield item("first")
        await gate.wait()
        yield item("second")

    answered = BatchStream(parts.service, ICU).responses(one_then_another())
    assert (await anext(answered)).item_id == "first"
    gate.set()
    assert [response.item_id async for response in answered] == ["second"]


async def test_a_unit_holds_no_more_bytes_than_it_may(parts, monkeypatch):
    monkeypatch.setattr(batches, "UNIT_BYTES", 1000)
    await names(parts, stream(*(item(str(number), 400) for number in range(20))))
    assert max(parts.jobs.units) == 2
    assert sum(parts.jobs.units) == 20


async def test_an_item_that_is_larger_than_a_unit_goes_alone(parts, monkeypatch):
    monkeypatch.setattr(batches, "UNIT_BYTES", 100)
    assert len(await names(parts, stream(item("a", 400), item("b", 400)))) == 2
    assert parts.jobs.units == [1, 1]


async def test_a_refused_item_stops_no_other(parts):
    wrong = BatchEnvelope(item_id="b")
    first, refused, last = await responses(parts, stream(item("a"), wrong, item("c")))
    assert (first.job.state, last.job.state) == (job_pb2.JOB_STATE_QUEUED,) * 2
    assert (refused.item_id, refused.error.reason) == ("b", "EMPTY_PAYLOAD")


def full() -> Overloaded:
    return Overloaded("jobs wait", retry_after_s=NO_TIME_S)


async def test_an_item_that_finds_the_queue_full_waits_and_keeps_its_place(parts):
    parts.jobs.errors = [full()]
    assert await names(parts, stream(item("a"), item("b"), item("c"))) == ["a", "b", "c"]
    assert len(parts.jobs.submitted) == 3


async def test_in_any_order_an_item_that_waits_holds_up_no_other(parts):
    parts.jobs.errors = [full()]
    items = [item("a", any_order=True), item("b"), item("c")]
    assert await names(parts, stream(*items)) == ["b", "c", "a"]


async def test_a_client_is_slowed_down_by_what_is_not_taken_in_yet(parts, monkeypatch):
    monkeypatch.setattr(batches, "HELD_ITEMS", 4)
    parts.jobs.errors = [Overloaded("jobs wait", retry_after_s=3600.0)] * 4
    read: list[str] = []
    fifth = asyncio.Event()

    async def fast():
        for number in range(10):
            read.append(str(number))
            if number == 4:
                fifth.set()
            yield item(str(number))

    answered = BatchStream(parts.service, ICU).responses(fast())
    waiting = asyncio.ensure_future(anext(answered))
    await fifth.wait()
    for _ in range(100):
        await asyncio.sleep(0)
    assert read == ["0", "1", "2", "3", "4"]
    waiting.cancel()
    await asyncio.wait([waiting])


async def test_a_client_that_reads_no_acknowledgement_is_slowed_down(parts, monkeypatch):
    monkeypatch.setattr(batches, "HELD_ITEMS", 4)
    wanted = [str(number) for number in range(50)]
    sent = 0

    async def fast():
        nonlocal sent
        for name in wanted:
            sent += 1
            yield item(name)

    answered = BatchStream(parts.service, ICU).responses(fast())
    first = (await anext(answered)).item_id
    while len(parts.jobs.submitted) < 4:
        await asyncio.sleep(0.001)
    assert sent <= 4 + 2
    assert [first, *[one.item_id async for one in answered]] == wanted


async def test_a_stream_that_breaks_ends_with_its_error(parts):
    async def broken():
        yield item("a")
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await names(parts, broken())


async def test_a_stream_is_slowed_down_to_the_callers_rate():
    parts = Parts(Settings(rate_per_s=1.0))
    answered = BatchStream(parts.service, ICU).responses(stream(item("a"), item("b")))
    assert (await anext(answered)).item_id == "a"
    assert [submission.payload for submission, _ in parts.jobs.submitted] != []
    assert [response.item_id async for response in answered] == ["b"]


async def test_a_stream_ends_with_what_nobody_foresaw_while_its_client_waits(parts):
    def unforeseen(submissions):
        raise ZeroDivisionError

    parts.jobs.submit = unforeseen

    async def one_and_waits():
        yield item("a")
        await asyncio.Event().wait()

    with pytest.raises(ZeroDivisionError):
        await names(parts, one_and_waits())


async def test_what_a_client_names_its_items_counts_as_held(parts, monkeypatch):
    monkeypatch.setattr(batches, "UNIT_BYTES", 1000)
    assert len(await names(parts, stream(item("a" * 900), item("b" * 900)))) == 2
    assert parts.jobs.units == [1, 1]
