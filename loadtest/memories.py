"""The workers' own client under load, by how its tensors reach Triton."""

import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

from cardex.inference.regions import memory_of
from cardex.inference.triton_client import InferenceRequest, TritonClient
from loadtest.tritons import WORKERS

MEMORIES = ("inline", "system", "cuda")


def memories(
    url: str, call: InferenceRequest, rounds: int, seconds: float, say: Callable[[str], None]
) -> dict[str, float]:
    """Compare how a worker's micro-batches reach the server: in the request, or in shared memory.

    Args:
        url: of the server.
        call: sent again and again, by `WORKERS` threads.
        rounds: that alternate between the kinds of memory.
        seconds: of each kind in each round.
        say: told of a kind that cannot be had here.
    """
    with ExitStack() as open_memories:
        servers = {}
        for kind in MEMORIES:
            try:
                server = open_memories.enter_context(_client(url, kind))
                server.infer(call)
                servers[kind] = server
            except (
                Exception
            ) as error:  # of tritonclient, CUDA or the tree: none of them ends the check
                if kind == "inline":
                    raise
                say(f"Triton, memory {kind}: {error}")
        rates = [
            {kind: _rate(server, call, seconds) for kind, server in servers.items()}
            for _ in range(rounds)
        ]
    images = len(next(iter(call.inputs.values())))
    figures = {}
    for kind in servers:
        name = f"{WORKERS} x {images} images, memory {kind}"
        figures[f"{name}, images/s"] = statistics.median(one[kind] for one in rates)
        if kind != "inline":
            ratios = (one[kind] / one["inline"] for one in rates)
            figures[f"{name}, over inline"] = statistics.median(ratios)
    return figures


@contextmanager
def _client(url: str, kind: str) -> Iterator[TritonClient]:
    """Yield a connection; its regions are given back while the server still knows them."""
    made: list[Any] = []

    def memory(client: Any) -> Any:  # noqa: ANN401
        made.append(memory_of(kind)(client))
        return made[0]

    try:
        yield TritonClient(url, in_flight=WORKERS, memory=memory)
    finally:
        for one in made:
            getattr(one, "close", lambda: None)()


def _rate(server: TritonClient, call: InferenceRequest, seconds: float) -> float:
    """Return images/s of `WORKERS` threads that call one after another."""
    start = time.perf_counter()
    until = start + seconds

    def work(_: int) -> int:
        done = 0
        while time.perf_counter() < until:
            done += len(server.infer(call))
        return done

    with ThreadPoolExecutor(WORKERS) as pool:
        done = sum(pool.map(work, range(WORKERS)))
    return done / (time.perf_counter() - start)
