"""A clock that a test sets."""

from types import ModuleType

import pytest


class FakeClock:
    """In place of the module `time`: it passes only while someone sleeps, or sets it."""

    def __init__(self) -> None:
        self.now = 100.0

    @classmethod
    def installed(cls, monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> "FakeClock":
        """Put a new one into a module that imports `time`."""
        clock = cls()
        monkeypatch.setattr(module, "time", clock)
        return clock

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
