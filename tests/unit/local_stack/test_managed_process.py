import os
from pathlib import Path

import pytest

from cardex.domain.errors import ConfigurationError
from cardex.local_stack import managed_process as module
from cardex.local_stack.managed_process import ManagedProcess


@pytest.fixture
def make(tmp_path):
    """Make parts that run a shell script, and end what is left of them."""
    parts = []

    def made(script: str, **options) -> ManagedProcess:
        options.setdefault("ready", (tmp_path / "ready").exists)
        part = ManagedProcess(
            "Valkey (state)", ["sh", "-c", script], tmp_path / "part.log", **options
        )
        parts.append(part)
        return part

    yield made
    for part in parts:
        part.stop()


def started(part: ManagedProcess) -> ManagedProcess:
    part.start()
    part.wait_ready()
    return part


def pid_of(part: ManagedProcess) -> int:
    assert part.process is not None
    return part.process.pid


def alive(pid: int) -> bool:
    """True while a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_dead(pid: int) -> None:
    while alive(pid):
        os.sched_yield()


SERVE = 'touch "$FOLDER/ready"; exec sleep 600'


def test_a_part_is_ready_when_it_says_so(make, tmp_path):
    part = started(make(SERVE, env={"FOLDER": str(tmp_path)}))
    assert part.exit_code() is None


def test_its_output_goes_to_its_log(make, tmp_path):
    script = f"echo to output; echo to error >&2; {SERVE}"
    started(make(script, env={"FOLDER": str(tmp_path)}))
    assert (tmp_path / "part.log").read_text() == "to output\nto error\n"


def test_a_part_that_dies_reports_the_end_of_its_log_and_the_remedy(make):
    script = "for n in 1 2 3 4 5 6 7 8 9; do echo line $n; done; echo disk is full >&2; exit 3"
    part = make(script, remedy="Make room.")
    with pytest.raises(ConfigurationError) as caught:
        started(part)
    assert caught.value.reason == "PART_NOT_READY"
    message = caught.value.message
    assert message.startswith("Valkey (state) ended with status 3.")
    assert "line 9\n  disk is full\nMake room." in message
    assert "line 1\n" not in message
    assert str(part.log) in message


def test_a_part_that_is_killed_reports_the_signal(make):
    with pytest.raises(ConfigurationError, match="ended with status -9"):
        started(make("kill -9 $$"))


def test_asking_for_its_end_takes_no_lock_that_an_interrupt_could_leave_taken(make):
    part = make("exit 3")
    part.start()
    wait_until_dead(pid_of(part))
    with part.process._waitpid_lock:
        assert part.exit_code() == 3
    part.stop()
    assert part.exit_code() is None


def test_a_part_that_never_becomes_ready_is_given_up(make):
    with pytest.raises(ConfigurationError, match=r"was not ready within 0\.01 s.*") as caught:
        started(make("exec sleep 600", timeout_s=0.01, remedy="Look there."))
    assert caught.value.message.endswith("Look there.")


def test_a_log_that_is_no_text_can_be_reported(make):
    with pytest.raises(ConfigurationError, match="ended with status 1"):
        started(make("printf '\\377\\376\\000 broken'; exit 1"))


def test_a_missing_program_is_reported_with_the_name_of_its_part(tmp_path):
    part = ManagedProcess(
        "Triton", [str(tmp_path / "none")], tmp_path / "part.log", ready=lambda: False
    )
    with pytest.raises(ConfigurationError, match="Triton"):
        started(part)
    part.stop()


def test_a_stopped_part_is_gone_and_has_cleaned_up(make, tmp_path):
    cleaned = []
    part = started(make(SERVE, env={"FOLDER": str(tmp_path)}, cleanup=lambda: cleaned.append(True)))
    pid = pid_of(part)
    part.stop()
    assert not alive(pid)
    assert cleaned == [True]
    assert part.process is None


def test_a_part_that_was_never_started_can_be_stopped(make):
    part = make(SERVE)
    part.stop()
    assert part.exit_code() is None


def test_a_part_may_end_what_it_does_before_it_stops(make, tmp_path):
    script = "trap 'echo saved; exit 0' TERM; sleep 600 >&- 2>&- & touch \"$FOLDER/ready\"; wait"
    part = started(make(script, env={"FOLDER": str(tmp_path)}))
    part.stop()
    assert (tmp_path / "part.log").read_text() == "saved\n"


def test_a_part_is_asked_once_however_often_it_is_said(make, tmp_path):
    wait = 'while [ ! -e "$FOLDER/go" ]; do sleep 0.01; done'
    script = f'trap "echo asked" TERM; touch "$FOLDER/ready"; {wait}'
    part = started(make(script, env={"FOLDER": str(tmp_path)}))
    part.ask_to_stop()
    while not part.log.read_text():
        os.sched_yield()
    part.ask_to_stop()
    (tmp_path / "go").touch()
    part.stop()
    assert part.log.read_text().count("asked") == 1


def test_a_stubborn_part_is_killed(make, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "STOP_S", 0.05)
    script = 'trap "" TERM; touch "$FOLDER/ready"; while true; do sleep 600; done'
    part = started(make(script, env={"FOLDER": str(tmp_path)}))
    pid = pid_of(part)
    part.stop()
    assert not alive(pid)


def test_its_children_go_with_a_part(make, tmp_path):
    script = 'sleep 600 & echo $! > "$FOLDER/child"; touch "$FOLDER/ready"; exec sleep 600'
    part = started(make(script, env={"FOLDER": str(tmp_path)}))
    child = int((tmp_path / "child").read_text())
    assert alive(child)
    part.stop()
    wait_until_dead(child)


def test_the_children_of_a_part_that_died_go_too(make, tmp_path):
    script = 'sleep 600 & echo $! > "$FOLDER/child"; touch "$FOLDER/ready"; exit 1'
    part = started(make(script, env={"FOLDER": str(tmp_path)}))
    part.stop()
    wait_until_dead(int((tmp_path / "child").read_text()))


def test_a_part_starts_again_after_its_end(make, tmp_path):
    part = started(
        make(
            SERVE,
            env={"FOLDER": str(tmp_path)},
            cleanup=lambda: (tmp_path / "ready").unlink(missing_ok=True),
        )
    )
    first = pid_of(part)
    part.stop()
    started(part)
    assert pid_of(part) != first
    assert part.exit_code() is None


def test_the_interrupt_of_a_terminal_does_not_reach_a_part(make, tmp_path):
    part = started(make(SERVE, env={"FOLDER": str(tmp_path)}))
    assert os.getsid(pid_of(part)) != os.getsid(0)
