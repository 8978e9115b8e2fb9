"""Cores that several computations share: the fluid limit of a fair scheduler."""

import random
from collections import defaultdict
from dataclasses import dataclass

import simpy

NICE_0, NICE_10 = 1024.0, 110.0
"""Weights of `nice` 0 and 10 in Linux (kernel/sched/core.c, sched_prio_to_weight)."""
TICK_S = 1 / 250
"""How long a busy core may stay with whom it serves when another is woken: until the scheduler's
next tick (CONFIG_HZ=250, Debian's kernels). Linux protects a slice from those who wake (EEVDF)."""
_DONE_S = 1e-12


@dataclass(slots=True)
class _Task:
    """One computation: core-seconds that are left, and how fast they pass now."""

    name: str
    left: float
    weight: float
    threads: float
    done: simpy.Event
    rate: float = 0.0


class Cores:
    """Some cores, shared by weight among all that computes (generalised processor sharing).

    Rates change with every beginning and end of a computation, so each such moment is an event, and
    costs O(n) for n computations. What begins while all cores are busy waits for a moment within a
    tick first, since a core is not handed over at once; nothing is lost by that, for they work on.

    Attributes:
        count: how many cores there are.
        used: core-seconds so far, by name.
    """

    def __init__(
        self, env: simpy.Environment, count: float, tick_s: float = 0.0, seed: int = 0
    ) -> None:
        """Begin with idle cores.

        Args:
            env: of the simulation.
            count: of the cores.
            tick_s: within which a busy core is handed over; 0 for at once.
            seed: of the moment within it.
        """
        self.count = count
        self._tick_s, self._chance = tick_s, random.Random(seed)
        self.used: defaultdict[str, float] = defaultdict(float)
        self._env = env
        self._tasks: list[_Task] = []
        self._since = env.now
        self._turn = 0

    def compute(
        self, core_s: float, name: str = "", weight: float = NICE_0, threads: float = 1.0
    ) -> simpy.Event:
        """Begin a computation.

        Args:
            core_s: core-seconds.
            name: under which they are counted.
            weight: its share against the others' where cores are short.
            threads: most cores that it can use at a time.

        Returns:
            The event of its end.
        """
        done = self._env.event()
        if core_s <= 0.0:
            return done.succeed()
        task = _Task(name, core_s, weight, threads, done)
        if self._tick_s and sum(each.threads for each in self._tasks) >= self.count:
            wait = self._env.timeout(self._chance.uniform(0.0, self._tick_s))
            assert wait.callbacks is not None
            wait.callbacks.append(lambda _: self._begin(task))
        else:
            self._begin(task)
        return done

    def _begin(self, task: _Task) -> None:
        self._advance()
        self._tasks.append(task)
        self._share()

    def _advance(self) -> None:
        """Let the time since the last change pass."""
        passed = self._env.now - self._since
        self._since = self._env.now
        if passed <= 0.0:
            return
        for task in self._tasks:
            task.left -= task.rate * passed
            self.used[task.name] += task.rate * passed

    def _share(self) -> None:
        """Give each computation its rate, and wait for the first end."""
        self._turn += 1
        if not self._tasks:
            return
        self._fill()
        next_s = min(task.left / task.rate for task in self._tasks)
        turn = self._turn
        wait = self._env.timeout(max(0.0, next_s))
        assert wait.callbacks is not None
        wait.callbacks.append(lambda _: self._end(turn))

    def _fill(self) -> None:
        """Water-filling: nobody gets more than it can use, and the rest is shared by weight."""
        open_tasks, free = self._tasks, self.count
        if sum(task.threads for task in open_tasks) <= free:
            for task in open_tasks:
                task.rate = task.threads
            return
        while open_tasks:
            level = free / sum(task.weight for task in open_tasks)
            full = [task for task in open_tasks if task.weight * level >= task.threads]
            if not full:
                for task in open_tasks:
                    task.rate = task.weight * level
                return
            for task in full:
                task.rate = task.threads
                free -= task.threads
            open_tasks = [task for task in open_tasks if task.weight * level < task.threads]

    def _end(self, turn: int) -> None:
        """End what is done, unless rates have changed since this end was foreseen."""
        if turn != self._turn:
            return
        self._advance()
        # Rates are at most some cores, so what is left after rounding takes no time at all.
        limit = max(_DONE_S, 4e-16 * self._env.now * self.count)
        ended = [task for task in self._tasks if task.left <= limit]
        self._tasks = [task for task in self._tasks if task.left > limit]
        for task in ended:
            task.done.succeed()
        self._share()
