"""CPU time and memory of processes, read from /proc."""

import os
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Self, TypeAlias

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PARENT, _FIRST_TIME, _TIMES = 1, 11, 4


class CpuMeter:
    """CPU time of some processes, and of this one, while a block runs.

    Attributes:
        seconds: by name, after the block; this process is the client.
    """

    def __init__(self, pids: Mapping[str, int]) -> None:
        """Look at processes by name, each with all below it."""
        self._pids = pids
        self.seconds: dict[str, float] = {}

    def __enter__(self) -> Self:
        """Begin."""
        self._before = self._now()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self.seconds = {name: now - self._before[name] for name, now in self._now().items()}

    def _now(self) -> dict[str, float]:
        used = {name: cpu_seconds(pid) for name, pid in self._pids.items()}
        return used | {"client": time.process_time()}


def cpu_seconds_below(pid: int) -> float:
    """Return the CPU time of all processes below one so far, without its own.

    Children that have ended are counted where their parent has waited for them, and not where that
    is the process itself.
    """
    children, seconds = _snapshot()
    return sum(_of_tree(child, children, seconds) for child in children[pid])


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and of all below it so far, also of children that ended."""
    return _of_tree(pid, *_snapshot())


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process and of all below it."""
    children, _ = _snapshot()
    pages, processes = 0, [pid]
    while processes:
        process = processes.pop()
        pages += int(Path(f"/proc/{process}/statm").read_text().split()[1])
        processes += children[process]
    return pages * os.sysconf("SC_PAGE_SIZE")


_Children: TypeAlias = "defaultdict[int, list[int]]"
_Seconds: TypeAlias = "defaultdict[int, float]"


def _snapshot() -> tuple[_Children, _Seconds]:
    """Return all processes' children, and the CPU time of each and of its ended children."""
    children: _Children = defaultdict(list)
    seconds: _Seconds = defaultdict(float)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (fields := _fields(entry)):
            children[int(fields[_PARENT])].append(int(entry.name))
            times = fields[_FIRST_TIME : _FIRST_TIME + _TIMES]  # own and waited-for children's
            seconds[int(entry.name)] = sum(map(int, times)) / _TICKS_PER_S
    return children, seconds


def _of_tree(pid: int, children: _Children, seconds: _Seconds) -> float:
    return seconds[pid] + sum(_of_tree(child, children, seconds) for child in children[pid])


def _fields(process: Path) -> list[str]:
    """Return the fields of `stat` after the name, which may hold spaces; none where it ended."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
