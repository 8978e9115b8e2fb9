"""`python -m loadtest.capacity plan|check|growth`: what a number of hospitals needs."""

import argparse
import math
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from cardex.domain.settings import Settings
from loadtest.capacity import check, pictures
from loadtest.capacity.arrivals import Demand, Night
from loadtest.capacity.calibration import Effort
from loadtest.capacity.costs import Costs, Gpu, gpu_costs, kept_costs
from loadtest.capacity.growth import WAYS_ON, first, growth
from loadtest.capacity.plan import (
    KINDS,
    WORKLOADS,
    Aim,
    Plan,
    Prices,
    plan_of,
    reserved,
)
from loadtest.capacity.scaling import rule
from loadtest.report import publish

WIDTH = 110
NAMES = {
    "gateway": "gateway pods", "stat": "STAT workers", "routine": "routine workers",
    "triton": "Triton pods", "query": "Milvus query nodes",
}  # fmt: skip


def main() -> None:
    """Run one of the commands."""
    options = _parser().parse_args()
    options.run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtest.capacity", description=__doc__)
    commands = parser.add_subparsers(required=True)
    plan = commands.add_parser("plan", help="the smallest numbers that keep the aims")
    _add_demand(plan)
    _add_machine(plan)
    plan.set_defaults(run=run_plan)
    grow = commands.add_parser("growth", help="what becomes short first, up to 10,000 ECGs/s")
    _add_machine(grow)
    grow.set_defaults(run=run_growth)
    compared = commands.add_parser("check", help="the simulation against the real stack")
    _add_check(compared)
    compared.set_defaults(run=run_check)
    return parser


def _add_demand(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--hospitals", type=int, default=40)
    add("--bedside-per-day", type=float, default=500.0, help="STAT ECGs of a hospital a day")
    add("--archive-per-night", type=int, default=50_000, help="records of a hospital a night")
    add("--night", type=int, nargs=2, default=(22, 6), metavar=("FROM", "TO"), help="hours")
    add("--cases", type=int, default=20_000, help="reports in the index")
    add("--spare", type=int, default=1, help="how many more of each that answers bedside ECGs")
    add("--price-core-hour", type=float, default=0.04, help="a parameter, in any currency")
    add("--price-gpu-hour", type=float, default=2.0, help="a parameter, in any currency")
    add("--gpu", action="store_true", help="a GPU for each Triton")


def _add_machine(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--stat-p99", type=float, default=2.0, help="seconds")
    add("--speed", type=float, default=1.0, help="of a core, over the one that was measured")
    add("--gpu-images-per-s", type=float, default=4_000.0, help="assumed, unless gpu-check was run")
    add("--gpu-call-ms", type=float, default=2.0, help="of one image; assumed likewise")
    add("--seed", type=int, default=1)


def _add_check(parser: argparse.ArgumentParser) -> None:
    add, options = parser.add_argument, check.Options()
    add("--seconds", type=float, default=options.seconds, help="of each load")
    add("--stat-per-s", type=float, default=options.stat_per_s)
    add("--records", type=int, default=options.records, help="of the archive that is not paced")
    add("--effort-records", type=int, default=options.effort.records, help="of the calibration")
    add("--effort-seconds", type=float, default=options.effort.seconds, help="of the calibration")
    add("--kept", action="store_true", help="only against runs that are kept; starts nothing")
    add("--again", action="store_true", help="simulate the kept run anew; starts nothing")
    add("--name", default="capacity-check", help="of the file in loadtest/results")


def _costs(options: argparse.Namespace) -> Costs:
    costs = kept_costs()
    return costs if options.speed == 1.0 else costs.on_faster(options.speed)


def _gpu(options: argparse.Namespace) -> Gpu:
    return gpu_costs(options.gpu_images_per_s, options.gpu_call_ms / 1e3)


def run_plan(options: argparse.Namespace) -> None:
    """Print the smallest plan, what it costs, and how the night goes."""
    demand = Demand(
        options.hospitals, options.bedside_per_day, options.archive_per_night, Night(*options.night)
    )
    costs = _costs(options).with_search(options.cases, Settings().memory_reports)
    gpu = _gpu(options) if options.gpu else None
    plan = plan_of(demand, costs, Aim(options.stat_p99), gpu, seed=options.seed)
    console = Console(width=WIDTH, highlight=False)
    _say_demand(console, demand, options)
    console.print(_table(plan, options.spare))
    _say_plan(console, plan, demand, options)
    console.print(f"Costs: {costs.source}." + (f" GPU: {gpu.source}." if gpu else ""))


def _say_demand(console: Console, demand: Demand, options: argparse.Namespace) -> None:
    peak, night = demand.peak, demand.busiest_night
    console.print(
        f"{demand.hospitals} hospitals: {peak.stat_per_s:.2f} bedside ECGs/s at the day's peak,"
        f" {night.stat_per_s:.2f} at night beside {demand.archive:,} records of archives,"
        f" {night.routine_per_s:.0f}/s;\naim: p99 of bedside ECGs {options.stat_p99:g} s, archives"
        f" done by {demand.night.ends}:00; {options.cases:,} reports in the index."
    )


def _table(plan: Plan, spare: int) -> Table:
    table = Table()
    for column in ("", "smallest", "with spare", "cores of each", "busy by day", "busy at night"):
        table.add_column(column, justify="left" if not column else "right")
    day, night = plan.outcomes["day"], plan.outcomes["night"]
    rows = [("state stores", "state", plan.cells, plan.cells)]
    for kind in KINDS:
        if count := plan.count(kind):
            more = plan.with_spare(spare).count(kind)
            rows.append((NAMES[kind], WORKLOADS[kind], count, more))
    for name, station, count, more in rows:
        table.add_row(
            name, str(count), str(more), f"{reserved(station):g}",
            f"{day.busy[station]:.0%}", f"{night.busy[station]:.0%}",
        )  # fmt: skip
    return table


def _say_plan(console: Console, plan: Plan, demand: Demand, options: argparse.Namespace) -> None:
    day, night, spare = plan.outcomes["day"], plan.outcomes["night"], plan.with_spare(options.spare)
    prices = Prices(options.price_core_hour, options.price_gpu_hour)
    console.print(
        f"p99 of bedside ECGs {day.stat_ms(99):.0f} ms by day, {night.stat_ms(99):.0f} ms beside"
        f" archives, which go at {plan.cells * night.routine_per_s:.0f} records/s."
    )
    if demand.archive:
        done = demand.night.begins + plan.night.done_s / 3600.0
        clock = f"at {int(done) % 24}:{int(done % 1 * 60):02}" if math.isfinite(done) else "never"
        console.print(
            f"Under KEDA's rules the archives are done {clock}, with {plan.night.pod_hours:.1f}"
            f" pod-hours of routine workers, at most {plan.cells * plan.night.most} at a time."
        )
    for name, each in (("smallest", plan), ("with spare", spare)):
        console.print(
            f"A day costs ({name}): {each.core_hours():.0f} core-hours, {each.gpu_hours():.0f}"
            f" GPU-hours, {each.price(prices):.2f} at {prices.core_hour:g} and"
            f" {prices.gpu_hour:g} an hour."
        )
    for kind in ("gateway", "stat", "routine", "triton"):
        most = rule(WORKLOADS[kind]).most
        if spare.count(kind) > most:
            console.print(f"Raise maxReplicaCount of {WORKLOADS[kind]}: it is {most}.")


def run_growth(options: argparse.Namespace) -> None:
    """Print the tables of growth, write the figures, and draw them."""
    figures = growth(_costs(options), Aim(options.stat_p99), _gpu(options), seed=options.seed)
    publish("capacity-growth", figures, {})
    path = pictures.draw(figures)
    console = Console(width=WIDTH, highlight=False)
    for kind, rate in first(figures):
        console.print(f"{kind}: short above {rate:,.0f} ECGs/s. {WAYS_ON[kind]}.")
    console.print(f"Drawn: {path.name}")


def run_check(options: argparse.Namespace) -> None:
    """Compare with runs that are kept, or with the real stack."""
    if options.kept:
        table = Table(title="the simulation against runs that are kept")
        for column in ("figure", "value"):
            table.add_column(column)
        for name, value in check.kept_check().items():
            table.add_row(name, f"{value:.3g}")
        Console(width=WIDTH).print(table)
        return
    if options.again:
        check.run(None, options.name)
        return
    effort = replace(Effort(), records=options.effort_records, seconds=options.effort_seconds)
    check.run(
        check.Options(options.seconds, options.stat_per_s, options.records, effort), options.name
    )


if __name__ == "__main__":
    main()
