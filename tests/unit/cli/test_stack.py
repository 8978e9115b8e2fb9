import io
import os
import signal

import pytest
from rich.console import Console

from cardex.cli import stack as module
from cardex.cli.stack import run_up
from cardex.domain.errors import ConfigurationError
from cardex.domain.settings import Settings
from cardex.local_stack.endpoints import Endpoints

ENDPOINTS = Endpoints(
    "unix:/g", "http://w", "t:1", "http://m", "http://v", "redis://s", "redis://c"
)


class FakeStack:
    """Comes up at once; its watch ends with the signal, or the error, that a test asks for."""

    number = signal.SIGINT
    error: Exception | None = None
    stopped = False

    def __init__(self, settings, *, gateway_port, web_port, host, on_progress) -> None:
        self.endpoints = ENDPOINTS
        self.gateway_bind = f"{host}:{gateway_port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        FakeStack.stopped = True

    def watch(self):
        if self.error is not None:
            raise self.error
        os.kill(os.getpid(), self.number)


@pytest.fixture
def stack(monkeypatch):
    """The stack made up; the handlers of signals are put back."""

    def unexpected(*_):
        raise AssertionError("the signal came to nobody")

    before = signal.signal(signal.SIGTERM, unexpected)
    # A shell lets what it starts in the background ignore Ctrl-C.
    interrupted = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(module, "Stack", FakeStack)
    monkeypatch.setattr(FakeStack, "stopped", False)
    yield FakeStack
    signal.signal(signal.SIGTERM, before)
    signal.signal(signal.SIGINT, interrupted)


def up() -> str:
    told = io.StringIO()
    console = Console(file=told, width=200)
    try:
        run_up(Settings(), gateway_port=5, web_port=6, host="127.0.0.1", console=console)
    except KeyboardInterrupt:
        pytest.fail("a Ctrl-C goes on to the caller")
    return told.getvalue()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_stack_and_ends_well(stack, monkeypatch, number):
    monkeypatch.setattr(stack, "number", number)
    told = up()
    assert "gRPC on 127.0.0.1:5, page and REST on http://w" in told
    assert told.endswith("stopped\n")
    assert stack.stopped


def test_a_part_that_keeps_dying_is_an_error(stack, monkeypatch):
    monkeypatch.setattr(stack, "error", ConfigurationError("Milvus Lite ended 5 times"))
    with pytest.raises(ConfigurationError, match="Milvus Lite"):
        up()
    assert stack.stopped
