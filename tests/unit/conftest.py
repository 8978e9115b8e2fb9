"""Unit tests read no settings from the environment they run in."""

import os

import pytest


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch):
    for name in list(os.environ):
        if name.startswith("CARDEX_"):
            monkeypatch.delenv(name)
