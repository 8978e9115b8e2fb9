import numpy as np
import pytest

from cardex.domain.errors import ConfigurationError
from cardex.inference.triton_client import InferenceRequest, TritonClient
from loadtest import memories as module
from loadtest.memories import memories

CALL = InferenceRequest("m", 1, {"image": np.zeros((4, 2, 2, 1), np.uint8)}, "embedding")


class Memory:
    def __init__(self, kind, log):
        self.kind = kind
        self.log = log

    def close(self):
        self.log.append(self.kind)


@pytest.fixture
def closed(monkeypatch):
    """Kinds of memory whose regions were given back; calls need no server, and `cuda` is missing."""
    log = []

    def memory_of(kind):
        if kind == "cuda":
            raise ConfigurationError("CARDEX_TRITON_MEMORY=cuda needs cuda")
        return lambda client: Memory(kind, log)

    monkeypatch.setattr(module, "memory_of", memory_of)
    monkeypatch.setattr(
        TritonClient, "infer", lambda self, call: np.zeros((len(call.inputs["image"]), 2))
    )
    return log


def test_kinds_of_memory_are_compared_and_a_missing_one_is_said(monkeypatch, closed):
    rates = iter([100.0, 150.0, 200.0, 100.0, 50.0, 100.0])
    monkeypatch.setattr(module, "_rate", lambda server, call, seconds: next(rates))
    said = []
    figures = memories("127.0.0.1:1", CALL, 3, 0.0, said.append)
    assert figures == {
        "8 x 4 images, memory inline, images/s": 100.0,
        "8 x 4 images, memory system, images/s": 100.0,
        "8 x 4 images, memory system, over inline": 1.5,
    }
    assert said == ["Triton, memory cuda: CARDEX_TRITON_MEMORY=cuda needs cuda"]
    assert sorted(closed) == ["inline", "system"]


@pytest.mark.usefixtures("closed")
def test_a_rate_is_of_real_time():
    figures = memories("127.0.0.1:1", CALL, 1, 0.05, lambda _: None)
    assert all(value > 0 for value in figures.values())


@pytest.mark.usefixtures("closed")
def test_a_server_that_takes_no_call_at_all_is_an_error(monkeypatch):
    def infer(self, call):
        raise ConfigurationError("no")

    monkeypatch.setattr(TritonClient, "infer", infer)
    with pytest.raises(ConfigurationError):
        memories("127.0.0.1:1", CALL, 1, 0.0, lambda _: None)
