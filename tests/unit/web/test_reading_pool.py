import asyncio
import threading

import pytest

from cardex.domain.errors import InvalidEcg, Overloaded
from cardex.web.reading_pool import ReadingPool


async def test_what_is_over_the_bound_is_told_to_come_back():
    pool, go = ReadingPool(threads=1, max_held=2), threading.Event()
    held = [asyncio.create_task(pool.run(go.wait)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as caught:
        await pool.run(go.wait)
    assert caught.value.retry_after_s
    go.set()
    assert await asyncio.gather(*held) == [True, True]
    assert await pool.run(lambda: "free again") == "free again"
    pool.close()


async def test_an_error_of_the_task_is_the_callers():
    def refuse() -> None:
        raise InvalidEcg("no ECG")

    pool = ReadingPool(max_held=1)
    for _ in range(3):
        with pytest.raises(InvalidEcg):
            await pool.run(refuse)
    pool.close()
