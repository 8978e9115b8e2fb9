import asyncio
import gc
import threading

import pytest

from cardex.gateway.threads import SlowCalls


class Slow:
    """A call that ends when it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error
        self._begun, self._go_on = threading.Event(), threading.Event()
        self.ended = threading.Event()

    def __call__(self) -> str:
        self._begun.set()
        assert self._go_on.wait(20)
        self.ended.set()
        if self._error is not None:
            raise self._error
        return "result"

    async def begun(self) -> None:
        assert await asyncio.to_thread(self._begun.wait, 20)

    def go_on(self) -> None:
        self._go_on.set()


async def turns(count: int = 20) -> None:
    """Let everything run that can."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("way", ["run", "run_to_end"])
async def test_a_call_runs_in_a_thread_and_gives_its_result(way):
    name = await getattr(SlowCalls(), way)(lambda: threading.current_thread().name)
    assert name.startswith("slow")


@pytest.mark.parametrize("way", ["run", "run_to_end"])
async def test_an_error_of_a_call_is_raised(way):
    slow = Slow(ValueError("no"))
    slow.go_on()
    with pytest.raises(ValueError, match="no"):
        await getattr(SlowCalls(), way)(slow)


async def test_a_caller_that_goes_away_need_not_wait():
    slow = Slow()
    running = asyncio.create_task(SlowCalls().run(slow))
    await slow.begun()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not slow.ended.is_set()
    slow.go_on()
    assert await asyncio.to_thread(slow.ended.wait, 20)


async def test_a_caller_of_a_call_that_runs_to_its_end_goes_only_after_it():
    slow = Slow()
    running = asyncio.create_task(SlowCalls().run_to_end(slow))
    await slow.begun()
    running.cancel()
    await turns()
    assert not running.done()
    slow.go_on()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert slow.ended.is_set()


async def test_an_error_that_nobody_waits_for_any_more_is_not_said_to_be_lost():
    said: list[dict] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    slow = Slow(ValueError("no"))
    running = asyncio.create_task(SlowCalls().run_to_end(slow))
    await slow.begun()
    running.cancel()
    await turns()
    slow.go_on()
    with pytest.raises(asyncio.CancelledError):
        await running
    del running
    gc.collect()
    await turns()
    assert said == []


async def test_a_caller_that_is_cancelled_twice_waits_all_the_same():
    slow = Slow()
    running = asyncio.create_task(SlowCalls().run_to_end(slow))
    await slow.begun()
    for _ in range(3):
        running.cancel()
        await turns()
        assert not running.done()
    slow.go_on()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert slow.ended.is_set()
