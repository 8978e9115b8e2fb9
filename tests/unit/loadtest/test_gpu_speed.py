"""The arithmetic of speed, with a clock that tests move."""

import pytest

from cardex.models.profiles import Profile
from loadtest.gpu_speed import CPU, Pace, measure, race, rate, rows_of, shown

IMAGES = {"image": Profile((1, 12, 1000, 1), (16, 12, 1000, 1), (64, 12, 1000, 1))}
PAIRS = {
    "image": Profile((1, 12, 1000, 1), (1, 12, 1000, 1), (4, 12, 1000, 1)),
    "token_ids": Profile((1, 2, 64), (1, 32, 64), (4, 128, 64)),
}


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Paced:
    """Takes the given seconds in turn, then the last of them."""

    def __init__(self, clock, *seconds, log=None):
        self.clock = clock
        self.left = list(seconds)
        self.shapes = []
        self.log = log if log is not None else []

    def answer(self, inputs):
        self.shapes.append({name: tensor.shape for name, tensor in inputs.items()})
        self.clock.now += self.left.pop(0) if len(self.left) > 1 else self.left[0]
        self.log.append(self)


def test_rows_per_second_and_ratio(sample):
    clock = Clock()
    runners = {CPU: Paced(clock, 0.5), "fp16 engine": Paced(clock, 0.125)}
    speeds = measure("m", runners, sample, IMAGES, Pace(3, 1.0), clock)
    by = {(speed.runner, speed.size): speed for speed in speeds}
    assert len(by) == 6
    engine, cpu = by["fp16 engine", "typical"], by[CPU, "typical"]
    assert (engine.shape, engine.calls, cpu.calls) == ("16", 24, 6)
    assert (engine.rows_per_s, cpu.rows_per_s) == (16 / 0.125, 16 / 0.5)
    assert (engine.ratio, cpu.ratio) == (4.0, 1.0)
    assert engine.p50_ms == engine.p99_ms == 125.0
    assert by["fp16 engine", "largest"].rows_per_s == 64 / 0.125
    assert by["fp16 engine", "smallest"].rows_per_s == 1 / 0.125


def test_percentiles_are_of_all_rounds_and_the_ratio_is_the_rounds_median(sample):
    clock = Clock()
    # Three calls that warm up, then a round of one call each: the machine is half as fast in the second.
    engine = Paced(clock, 9, 9, 9, 1, 2, 1)
    cpu = Paced(clock, 9, 9, 9, 10, 20, 40)
    runners = {CPU: cpu, "engine": engine}
    speeds = measure(
        "m", runners, sample, {"image": Profile(*[(1, 12, 1000, 1)] * 3)}, Pace(3, 0.0), clock
    )
    first = {speed.runner: speed for speed in speeds[:2]}
    assert first["engine"].ratio == 10.0  # of 10, 10 and 40
    assert first["engine"].p50_ms == 1000.0
    assert first["engine"].p99_ms == pytest.approx(1980.0)
    assert first[CPU].p50_ms == 20_000.0


def test_runners_take_turns_after_they_are_warm():
    clock, log = Clock(), []
    one, two = Paced(clock, 1.0, log=log), Paced(clock, 1.0, log=log)
    rounds = race({"one": one, "two": two}, {}, Pace(2, 2.0), clock)
    assert log == [one] * 3 + [two] * 3 + ([one] * 2 + [two] * 2) * 2
    assert rounds == {"one": [[1.0, 1.0]] * 2, "two": [[1.0, 1.0]] * 2}


def test_a_call_that_takes_longer_than_the_time_counts_once():
    clock = Clock()
    assert race({"slow": Paced(clock, 30.0)}, {}, Pace(2, 1.0), clock) == {"slow": [[30.0]] * 2}


def test_calls_have_the_profiles_shapes_and_the_matchers_rows_are_pairs(sample):
    clock = Clock()
    runner = Paced(clock, 1.0)
    speeds = measure("matcher", {CPU: runner}, sample, PAIRS, Pace(1, 0.0), clock)
    assert [speed.shape for speed in speeds] == ["1 x 2", "1 x 32", "4 x 128"]
    assert [speed.rows_per_s for speed in speeds] == [2.0, 32.0, 512.0]
    assert runner.shapes[-1] == {"image": (4, 12, 1000, 1), "token_ids": (4, 128, 64)}


def test_rows():
    assert rows_of({"token_ids": (32, 64)}) == 32
    assert shown({"token_ids": (32, 64)}) == "32"
    assert rate([0.5, 0.5], {"image": (8, 12, 1000, 1)}) == 16.0
