import fcntl
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest

from cardex.domain.errors import ConfigurationError
from cardex.domain.settings import Settings
from cardex.local_stack import stack as module
from cardex.local_stack.endpoints import DESCRIPTION, Endpoints, running_endpoints
from cardex.local_stack.managed_process import ManagedProcess
from cardex.local_stack.stack import MAX_RESTARTS, RESTART_WINDOW_S, Stack
from tests.helpers.fake_clock import FakeClock

ENDPOINTS = Endpoints(
    "unix:/g", "http://w", "t:1", "http://m", "http://v", "redis://s", "redis://c"
)


class FakePart:
    """A part that keeps what is done to it."""

    def __init__(self, name: str, done: list[str]) -> None:
        self.name, self.log, self._done = name, f"{name}.log", done
        self.status: int | None = None

    def exit_code(self):
        return self.status

    def start(self):
        self._done.append(f"start {self.name}")
        self.status = None

    def wait_ready(self):
        self._done.append(f"wait {self.name}")

    def ask_to_stop(self):
        self._done.append(f"ask {self.name}")

    def stop(self):
        self._done.append(f"stop {self.name}")


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path / "data")


@pytest.fixture
def clock(monkeypatch):
    return FakeClock.installed(monkeypatch, module)


@pytest.fixture
def done():
    return []


@pytest.fixture
def stack(settings, done, clock):
    stack = Stack(settings, on_progress=lambda _: None)
    groups = [("state",), ("gateway", "worker"), ("web",)]
    stack._groups = [
        {name: cast(ManagedProcess, FakePart(name, done)) for name in group} for group in groups
    ]
    return stack


def refusal(settings, **options) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught, Stack(settings, **options):
        pass
    return caught.value


# What stops the start before anything is started.


def test_an_open_address_needs_tls_and_keys(settings):
    error = refusal(settings, host="0.0.0.0")
    assert error.reason == "DOOR_OPEN"
    assert not settings.data_dir.exists()


def test_a_folder_serves_one_stack(settings):
    settings.data_dir.mkdir()
    with (settings.data_dir / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert refusal(settings).reason == "FOLDER_TAKEN"


def test_a_second_stack_leaves_the_description_of_the_first(settings):
    settings.data_dir.mkdir()
    (settings.data_dir / DESCRIPTION).write_bytes(msgspec.json.encode(ENDPOINTS))
    with (settings.data_dir / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refusal(settings)
    assert running_endpoints(settings) == ENDPOINTS


def test_a_full_disk_is_told_with_the_setting(settings, monkeypatch):
    usage = SimpleNamespace(disk_usage=lambda _: SimpleNamespace(free=2**20))
    monkeypatch.setattr(module, "shutil", usage)
    error = refusal(settings)
    assert error.reason == "DISK_FULL"
    assert "CARDEX_DATA_DIR" in error.message


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    error = refusal(Settings(data_dir=tmp_path / "file" / "data"))
    assert "CARDEX_DATA_DIR" in error.message


def test_after_a_failed_start_the_folder_is_free_again(settings, monkeypatch):
    usage = SimpleNamespace(disk_usage=lambda _: SimpleNamespace(free=2**20))
    monkeypatch.setattr(module, "shutil", usage)
    assert [refusal(settings).reason for _ in range(2)] == ["DISK_FULL", "DISK_FULL"]


# Watching.


def test_parts_that_live_are_left_alone(stack, done):
    stack.tend()
    assert done == []


def test_a_part_that_died_is_started_again(stack, done):
    stack.processes["gateway"].status = 1
    stack.tend()
    assert done == ["stop gateway", "start gateway", "wait gateway"]


def test_a_part_that_keeps_dying_ends_the_stack(stack):
    part = stack.processes["gateway"]
    for _ in range(MAX_RESTARTS):
        part.status = 1
        stack.tend()
    part.status = 1
    with pytest.raises(ConfigurationError, match=r"gateway ended .*gateway\.log") as caught:
        stack.tend()
    assert caught.value.reason == "PART_KEEPS_DYING"


def test_a_part_may_die_now_and_then(stack, clock):
    for _ in range(3 * MAX_RESTARTS):
        stack.processes["gateway"].status = 1
        stack.tend()
        clock.now += RESTART_WINDOW_S / 2


def test_parts_that_die_together_do_not_count_for_each_other(stack):
    for _ in range(MAX_RESTARTS):
        for part in stack.processes.values():
            part.status = 1
        stack.tend()


def test_the_last_group_started_is_stopped_first_and_its_parts_together(stack, done):
    stack.stop()
    assert done == [
        "ask web", "stop web", "ask gateway", "ask worker", "stop gateway", "stop worker",
        "ask state", "stop state",
    ]  # fmt: skip
    assert not stack.processes


# Where a running stack is.


def test_no_stack_runs_where_there_is_no_description(settings):
    assert running_endpoints(settings) is None


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[]"])
def test_a_damaged_description_is_none(settings, content):
    settings.data_dir.mkdir()
    (settings.data_dir / DESCRIPTION).write_bytes(content)
    assert running_endpoints(settings) is None


def test_passwords_are_not_shown():
    assert "redis://" not in repr(ENDPOINTS)
