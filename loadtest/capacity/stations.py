"""Stations of a job's way: threads that compute, the queue, and Triton's instances."""

import math
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import simpy

from loadtest.capacity.cores import NICE_0, Cores

LEAST_SHARE = 8
"""What a claim takes at least of a queue, whatever the share: LEAST in claim.lua."""

Way = Generator[simpy.Event, None, None]


class Station:
    """Some threads that take one thing after another, first come, first served."""

    def __init__(
        self,
        env: simpy.Environment,
        cores: Cores,
        name: str,
        *,
        threads: int = 1,
        weight: float = NICE_0,
    ) -> None:
        """Compute on some cores, under a name."""
        self.cores, self.name = cores, name
        self._weight = weight
        self._threads = simpy.Resource(env, threads)

    def run(self, core_s: float) -> Way:
        """Wait for a thread, and compute."""
        with self._threads.request() as turn:
            yield turn
            yield self.cores.compute(core_s, self.name, self._weight)


@dataclass(slots=True)
class Job:
    """One ECG on its way.

    Attributes:
        begun: when it was sent, s.
        delay_s: seconds of its way in which no core works for it.
        done: event of its answer, where somebody waits for it.
    """

    begun: float
    delay_s: float = 0.0
    done: simpy.Event | None = None


class JobQueue:
    """Jobs that wait for workers; a worker that finds none waits at a bell.

    As in the state store, a new job rings for one idle worker, and a claim that leaves jobs rings
    for the next.
    """

    def __init__(self, env: simpy.Environment, share: int) -> None:
        """Hand out at most one share-th of what waits, or eight where that is more."""
        self._env = env
        self._share = share
        self._jobs: deque[Job] = deque()
        self._idle: deque[simpy.Event] = deque()

    def __len__(self) -> int:
        """Return how many jobs wait."""
        return len(self._jobs)

    def put(self, jobs: list[Job]) -> None:
        """Add jobs."""
        self._jobs.extend(jobs)
        self._ring()

    def claim(self, most: int) -> list[Job]:
        """Take jobs: up to `most`, and not more than the share."""
        share = max(LEAST_SHARE, math.ceil(len(self._jobs) / self._share))
        count = min(most, share, len(self._jobs))
        taken = [self._jobs.popleft() for _ in range(count)]
        self._ring()
        return taken

    def bell(self) -> simpy.Event:
        """Return an event that comes when there may be a job."""
        event = self._env.event()
        if self._jobs:
            return event.succeed()
        self._idle.append(event)
        return event

    def _ring(self) -> None:
        if self._jobs and self._idle:
            self._idle.popleft().succeed()


@dataclass(slots=True)
class _Request:
    """Images of one call."""

    count: int
    level: int
    done: simpy.Event
    since: float = 0.0


@dataclass(slots=True)
class Model:
    """One model of a Triton: its queue, and its instances.

    Attributes:
        max_batch: images that are computed together.
        batches: True where calls are joined, as by dynamic batching.
        delay_s: how long the first of a batch may wait for others.
        instances: how many compute side by side.
        threads: most cores of one instance.
        weight: its share of the cores.
    """

    max_batch: int
    batches: bool
    delay_s: float
    instances: int
    threads: float
    weight: float
    name: str = "triton"


@dataclass(slots=True)
class Counts:
    """What a model has computed: executions, images, and the largest batch."""

    executions: int = 0
    images: int = 0
    largest: int = 0


class Instances:
    """A model's instances with Triton's dynamic batcher before them."""

    def __init__(
        self, env: simpy.Environment, cores: Cores, model: Model, core_s: Callable[[int], float]
    ) -> None:
        """Compute a batch of n images in `core_s(n)` core-seconds."""
        self.counts = Counts()
        self.max_batch = model.max_batch
        self._env, self._cores, self._model, self._core_s = env, cores, model, core_s
        self._waiting: list[_Request] = []
        self._free = model.instances

    def infer(self, images: int, level: int = 0) -> simpy.Event:
        """Ask for some images, at most `max_batch`; lower levels go first.

        Raises:
            ValueError: if they are more than one batch.
        """
        if images > self._model.max_batch:
            raise ValueError(f"{images} images in one call: at most {self._model.max_batch}")
        request = _Request(images, level, self._env.event(), self._env.now)
        place = len(self._waiting)
        while place and self._waiting[place - 1].level > level:
            place -= 1
        self._waiting.insert(place, request)
        self._dispatch()
        return request.done

    def _dispatch(self) -> None:
        while self._free and self._waiting:
            wait_s = self._wait_s()
            if wait_s > 0.0:
                timer = self._env.timeout(wait_s)
                assert timer.callbacks is not None
                timer.callbacks.append(lambda _: self._dispatch())
                return
            self._free -= 1
            self._env.process(self._execute(self._batch()))

    def _wait_s(self) -> float:
        """Return how long the batch that would be taken now may still grow."""
        model = self._model
        full = sum(request.count for request in self._waiting) >= model.max_batch
        if not model.batches or full:
            return 0.0
        first = min(request.since for request in self._waiting)
        # Rounded to nanoseconds: what is left of a delay that has passed is no delay.
        return round(first + model.delay_s - self._env.now, 9)

    def _batch(self) -> list[_Request]:
        taken = [self._waiting.pop(0)]
        room = self._model.max_batch - taken[0].count
        while self._model.batches and self._waiting and self._waiting[0].count <= room:
            taken.append(self._waiting.pop(0))
            room -= taken[-1].count
        return taken

    def _execute(self, batch: list[_Request]) -> Way:
        model, images = self._model, sum(request.count for request in batch)
        self.counts.executions += 1
        self.counts.images += images
        self.counts.largest = max(self.counts.largest, images)
        yield self._cores.compute(self._core_s(images), model.name, model.weight, model.threads)
        self._free += 1
        for request in batch:
            request.done.succeed()
        self._dispatch()


@dataclass
class Turns:
    """Things that are taken in turn, as a client does with the addresses of a service."""

    things: list[Instances]
    _next: int = field(default=0)

    def take(self) -> Instances:
        """Return the next."""
        self._next += 1
        return self.things[self._next % len(self.things)]
