"""`make load PROFILE=...`: a hospital's traffic against the whole stack, with a picture.

bedside: STAT ECGs one by one, as a Poisson process. archive: one import. mixed: bedside beside an
import, and alone before it. spike: many bedside ECGs within a second. soak: an import of many
records, for the memory.
"""

import argparse
import statistics
from collections.abc import Sequence

import numpy as np

from loadtest.house import House, house
from loadtest.pictures import draw
from loadtest.report import publish
from loadtest.sampler import Sampler, Samples
from loadtest.traffic import Answered, Imported

STAGES = ("queue", "read", "clean", "encode", "inference", "search")
AIMS = {
    "p99 beside the import over p99 alone": "at most 2",
    "beside the import: refused": "0",
    "refused": "0",
    "slope of the gateway's memory, % of it": "under 1",
    "slope of the routine workers' memory, % of it": "under 1",
}


def quantiles(name: str, answers: Sequence[Answered]) -> dict[str, float]:
    """Return the quantiles of bedside ECGs in ms, and how many were refused."""
    seconds = [answer.seconds for answer in answers if not answer.error]
    p50, p95, p99 = np.percentile(seconds, [50, 95, 99]) * 1000
    refused = len(answers) - len(seconds)
    return {
        f"{name}: p50 ms": float(p50),
        f"{name}: p95 ms": float(p95),
        f"{name}: p99 ms": float(p99),
        f"{name}: slowest ms": max(seconds) * 1000,
        f"{name}: refused": refused,
    }


def stages(name: str, answers: Sequence[Answered]) -> dict[str, float]:
    """Return the p50 and p99 of each stage, and of what no stage tells, in ms."""
    found = {}
    served = [answer for answer in answers if answer.stages]
    for stage in STAGES:
        taken = [answer.stages.get(stage, 0.0) for answer in served]
        found[f"{name}: {stage} p50 ms"], found[f"{name}: {stage} p99 ms"] = (
            np.percentile(taken, [50, 99]) * 1000
        ).tolist()
    rest = [answer.seconds - sum(answer.stages.values()) for answer in served]
    found[f"{name}: the rest p50 ms"], found[f"{name}: the rest p99 ms"] = (
        np.percentile(rest, [50, 99]) * 1000
    ).tolist()
    return found


def run_bedside(own: House, options: argparse.Namespace) -> dict[str, float]:
    """Measure bedside ECGs alone."""
    source = own.bedside(options.per_s, options.seconds)
    source.begin()
    answers: list[Answered] = source.result()
    draw(options.profile, bedside_alone=answers)
    return quantiles("alone", answers) | stages("alone", answers)


def run_archive(own: House, options: argparse.Namespace) -> dict[str, float]:
    """Measure an import alone, and what memory it takes."""
    source = own.archive(options.records)
    with Sampler(own.stack, own.client) as sampler:
        source.begin()
        imported: Imported = source.result()
    draw(options.profile, imported=imported, samples=sampler.samples)
    return {
        "records/s": imported.per_s,
        "records/s, last tenth over second tenth": _late_over_early(imported.ends),
        "refused": imported.refused,
        "slope of the gateway's memory, % of it": _slope(sampler.samples.memory_mb["gateway"]),
        "slope of the routine workers' memory, % of it": _slope(
            [sum(held) for held in zip(*_of_routine_workers(sampler.samples), strict=True)]
        ),
        "most that the state store held, MB": max(sampler.samples.memory_mb["state store"]),
        "oldest job, s": max(sampler.samples.age_s),
    }


def run_mixed(own: House, options: argparse.Namespace) -> dict[str, float]:
    """Measure bedside ECGs alone, then beside an import."""
    before = own.bedside(options.per_s, options.seconds)
    before.begin()
    alone: list[Answered] = before.result()
    importing, beside = own.archive(options.records), own.bedside(options.per_s, options.seconds, 3)
    with Sampler(own.stack, own.client) as sampler:
        importing.begin()
        beside.begin()
        both: list[Answered] = beside.result()
        imported: Imported = importing.result()
    during = [answer for answer in both if answer.at < imported.seconds]
    draw(
        options.profile,
        bedside_alone=alone,
        bedside_beside=during,
        imported=imported,
        samples=sampler.samples,
    )
    found = quantiles("alone", alone) | quantiles("beside the import", during)
    found["p99 beside the import over p99 alone"] = (
        found["beside the import: p99 ms"] / found["alone: p99 ms"]
    )
    found["beside the import: bedside ECGs"] = len(during)
    found["import, records/s"] = imported.per_s
    return found | stages("alone", alone) | stages("beside the import", during)


def run_spike(own: House, options: argparse.Namespace) -> dict[str, float]:
    """Measure many bedside ECGs within a second."""
    source = own.bedside(options.per_s, 1.0)
    with Sampler(own.stack, own.client) as sampler:
        source.begin()
        answers: list[Answered] = source.result()
    draw(options.profile, bedside_alone=answers, samples=sampler.samples)
    last = max(answer.at + answer.seconds for answer in answers)
    return quantiles("spike", answers) | {
        "bedside ECGs": len(answers),
        "seconds until the last answer": last,
        "answers/s": len(answers) / last,
    }


PROFILES = {
    "bedside": (run_bedside, 0, 10.0, 30.0),
    "archive": (run_archive, 5_000, 0.0, 0.0),
    "mixed": (run_mixed, 3_000, 10.0, 30.0),
    "spike": (run_spike, 0, 300.0, 1.0),
    "soak": (run_archive, 100_000, 0.0, 0.0),
}
"""By name: what runs, and by default how many records, bedside ECGs a second, and seconds."""


def _of_routine_workers(samples: Samples) -> list[list[float]]:
    return [
        series for name, series in samples.memory_mb.items() if name.startswith("worker-routine")
    ]


def _late_over_early(ends: Sequence[float]) -> float:
    """Return how fast the last tenth of the records ended over how fast the second tenth did.

    The first tenth also waits for what is submitted.
    """
    ordered, tenth = sorted(ends), max(1, len(ends) // 10)
    early = ordered[2 * tenth - 1] - ordered[tenth - 1]
    late = ordered[-1] - ordered[-tenth - 1]
    return early / late


def _slope(series: Sequence[float]) -> float:
    """Return by how many per cent a series grows in its second half, by a straight line."""
    late = series[len(series) // 2 :]
    if len(late) <= 1:
        return 0.0
    slope, _ = np.polyfit(np.arange(len(late)), late, 1)
    return float(100.0 * slope * len(late) / statistics.fmean(late))


def main() -> None:
    """Print the figures, and write them and the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile", choices=PROFILES)
    parser.add_argument("--records", type=int)
    parser.add_argument("--per-s", type=float)
    parser.add_argument("--seconds", type=float)
    options = parser.parse_args()
    run, records, per_s, seconds = PROFILES[options.profile]
    defaults = {"records": records, "per_s": per_s, "seconds": seconds}
    for name, value in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    with house() as own:
        own.warm_up()
        publish(f"load-{options.profile}", run(own, options), AIMS)


if __name__ == "__main__":
    main()
