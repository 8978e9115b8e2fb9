"""`make alerts`: makes every alert fire by a real fault, and keeps the series for promtool.

An hour of normal traffic comes first, in which none may fire. Time in the rules is divided by
`SCALE`, and multiplied again in what is kept: deploy/alerts/recorded.yaml.
"""

import argparse
import itertools
import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from cardex.domain.settings import Settings
from loadtest.ecgs import Ecgs
from loadtest.faults import PROVOKED, Patient, traffic
from loadtest.house import house
from loadtest.prometheus import READ_S, RULES, SCALE, Prometheus

RECORDED = RULES.parent / "recorded.yaml"
HOUR_S = 3600.0
FIRES_S = 120.0
CALM_S = 20.0
SLACK_S = 2.0
"""A fault goes on for so long when its alert fires: promtool looks at other moments."""
QUICK = {"CARDEX_LEASE_S": "2", "CARDEX_MAX_ATTEMPTS": "2"}
"""Settings with which jobs of lost workers come back and are given up soon."""
_METRIC = re.compile(r"\b(?:cardex|nv)_[a-z_]+\b")


def metrics_of(rules: dict[str, Any]) -> list[str]:
    """Return the metrics that the rules ask for, each with the labels that they ask about it."""
    expressions = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    return sorted({name for each in expressions for name in _METRIC.findall(each)})


@contextmanager
def patient() -> Iterator[tuple[Patient, Prometheus]]:
    """Run a stack with few reports, and a Prometheus that reads it."""
    os.environ.update(QUICK)
    with tempfile.TemporaryDirectory(prefix="cardex-alerts-") as folder, house(500) as own:
        settings = Settings(
            gateway_target=own.endpoints.gateway, state_url=own.endpoints.state,
            cache_url=own.endpoints.cache, milvus_uri=own.endpoints.milvus,
            triton_url=own.endpoints.triton, max_attempts=int(QUICK["CARDEX_MAX_ATTEMPTS"]),
        )  # fmt: skip
        with Prometheus(own.endpoints, Path(folder)) as prometheus:
            yield Patient(own.stack, settings, Ecgs(own.data, seed=7)), prometheus


def recorded(prometheus: Prometheus, since: float, expectations: dict[str, Any]) -> dict[str, Any]:
    """Return what Prometheus read since a moment as a test of promtool."""
    rules = yaml.safe_load(RULES.read_text())
    until, step = time.time(), READ_S / SCALE
    series = [
        {"series": _name(each["metric"]), "values": _values(each["values"], (since, until), step)}
        for metric in metrics_of(rules)
        for each in prometheus.over(metric, since, until)
    ]
    return {"interval": f"{READ_S:g}s", "input_series": series, **expectations}


def _name(labels: dict[str, str]) -> str:
    own = sorted((k, v) for k, v in labels.items() if k not in ("__name__", "instance", "job"))
    written = ",".join(f'{key}="{value}"' for key, value in own)
    return f"{labels['__name__']}{{{written}}}"


def _values(values: Sequence[tuple[float, str]], times: Sequence[float], step: float) -> str:
    """Return readings in promtool's notation: `stale` where a series ends, `_` where it is not."""
    since, until = times
    read = {round((at - since) / step): value for at, value in values}
    places = []
    for place in range(round((until - since) / step)):
        ended = place - 1 in read
        places.append(read.get(place, "stale" if ended else "_"))
    return " ".join(_run(value, len(list(same))) for value, same in itertools.groupby(places))


def _run(value: str, count: int) -> str:
    if count == 1:
        return value
    return f"_x{count}" if value == "_" else f"{value}x{count - 1}"


def _at(seconds: float) -> str:
    """Return a moment of a recording as it is in unscaled time, on a reading."""
    return f"{int(seconds * SCALE // READ_S * READ_S)}s"


def _is_firing(alert: str) -> str:
    return f'ALERTS{{alertname="{alert}", alertstate="firing"}}'


def run(only: Sequence[str]) -> list[dict[str, Any]]:
    """Provoke alerts, or all where none is named; returns the tests for promtool.

    Raises:
        SystemExit: if one does not fire, or fires without a reason.
    """
    tests = []
    with patient() as (own, prometheus):
        with traffic(own):
            time.sleep(CALM_S)  # until rates have something to look at
            if not only:
                tests.append(_quiet(prometheus))
        for alert in only or PROVOKED:
            with traffic(own):
                _calm(prometheus, alert)  # of what was done before
                tests.append(_fires(own, prometheus, alert))
    return tests


def _quiet(prometheus: Prometheus) -> dict[str, Any]:
    since = time.time()
    while (now := time.time() - since) < HOUR_S / SCALE:
        if found := prometheus.firing():
            raise SystemExit(f"{', '.join(found)}: without a reason, after {now:.0f} s")
        time.sleep(READ_S / SCALE)
    moments = [_at(seconds) for seconds in (15, 30, 45, HOUR_S / SCALE)]
    checks = [
        {"expr": 'count(ALERTS{alertstate="firing"})', "eval_time": moment, "exp_samples": []}
        for moment in moments
    ]
    print(f"an hour of normal traffic, {SCALE} times as fast: quiet", flush=True)
    expectations = {"name": "an hour of normal traffic", "promql_expr_test": checks}
    return recorded(prometheus, since, expectations)


def _fires(own: Patient, prometheus: Prometheus, alert: str) -> dict[str, Any]:
    since = time.time()
    with PROVOKED[alert](own):
        if not prometheus.wait_until(alert, FIRES_S):
            raise SystemExit(f"{alert} does not fire")
        print(f"{alert} fires after {time.time() - since:.0f} s", flush=True)
        time.sleep(SLACK_S)
        took = time.time() - since
    check = {
        "expr": f"count({_is_firing(alert)})",
        "eval_time": _at(took),
        "exp_samples": [{"labels": "{}", "value": 1}],
    }
    return recorded(prometheus, since, {"name": alert, "promql_expr_test": [check]})


def _calm(prometheus: Prometheus, alert: str) -> None:
    """Wait until an alert has no reason, so that it fires by its own fault alone."""
    deadline = time.monotonic() + FIRES_S
    while alert in prometheus.active():
        if time.monotonic() > deadline:
            raise SystemExit(f"{alert} fires on, though its reason is gone")
        time.sleep(READ_S / SCALE)


def main() -> None:
    """Provoke alerts, and keep what Prometheus read; what was kept of others stays."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help="alerts; all where left out")
    only = parser.parse_args().only
    before = yaml.safe_load(RECORDED.read_text())["tests"] if only else []
    made = {test["name"]: test for test in run(only)}
    tests = list(({test["name"]: test for test in before} | made).values())
    kept = {"rule_files": ["rules.yaml"], "evaluation_interval": f"{READ_S:g}s", "tests": tests}
    head = "# Written by `make alerts`: what Prometheus read while faults were done to a stack.\n"
    RECORDED.write_text(head + yaml.safe_dump(kept, sort_keys=False, width=10_000))
    print(f"kept: {RECORDED}")


if __name__ == "__main__":
    main()
