"""Ctrl-C and SIGTERM, kept from tearing a stop apart."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def uninterrupted(hurry: Callable[[], None]) -> Iterator[None]:
    """Let a block run to its end, whatever signals come meanwhile.

    Args:
        hurry: called at each signal, so that who presses Ctrl-C again need not wait.

    Raises:
        KeyboardInterrupt: after the block, if a Ctrl-C came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread gets signals
        return
    came: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        came.append(number)
        hurry()

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if signal.SIGINT in came:
        raise KeyboardInterrupt
