"""A Prometheus that reads a local stack, with time in its rules made short.

A rule that looks at ten minutes takes ten minutes to try. What it looks at, what it waits for, and
how often Prometheus reads are all divided by `SCALE`, so that an hour takes a minute.
"""

import json
import re
import shutil
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from cardex.domain.errors import ConfigurationError
from cardex.local_stack.endpoints import Endpoints
from cardex.local_stack.managed_process import ManagedProcess
from cardex.local_stack.ports import HOST, free_ports

SCALE = 60
READ_S = 30.0
"""How often pods are read, unscaled; the monitors ask for 5 and 15 s."""
RULES = Path(__file__).parents[1] / "deploy" / "alerts" / "rules.yaml"
UNITS = {"s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"\b(\d+)([smh])\b")
TIMEOUT_S = 10.0


def scaled(rules: Mapping[str, Any], scale: int) -> dict[str, Any]:
    """Return rules in which every duration is divided by `scale`."""
    found: dict[str, Any] = json.loads(json.dumps(rules))
    for group in found["groups"]:
        for rule in group["rules"]:
            rule["expr"] = in_expression(rule["expr"], scale)
            if "for" in rule:
                rule["for"] = _shorter(rule["for"], scale)
    return found


def in_expression(expression: str, scale: int) -> str:
    """Return an expression whose ranges are divided by `scale`."""
    return re.sub(r"\[[^]]*\]", lambda range_: _shorter(range_[0], scale), expression)


def _shorter(text: str, scale: int) -> str:
    return _DURATION.sub(lambda found: f"{int(found[1]) * UNITS[found[2]] * 1000 // scale}ms", text)


class Prometheus:
    """Reads the processes of a stack on this machine; a context manager."""

    def __init__(self, endpoints: Endpoints, folder: Path, scale: int = SCALE) -> None:
        """Prepare to read `endpoints`; everything is kept in `folder`.

        Raises:
            ConfigurationError: if Prometheus is not installed.
        """
        program = shutil.which("prometheus")
        if program is None:
            raise ConfigurationError("there is no prometheus here: `make deploy-tools`")
        self._scale = scale
        (self._port,) = free_ports(1)
        rules, config = folder / "rules.yaml", folder / "prometheus.yaml"
        folder.mkdir(parents=True, exist_ok=True)
        rules.write_text(yaml.safe_dump(scaled(yaml.safe_load(RULES.read_text()), scale)))
        config.write_text(yaml.safe_dump(_config(endpoints, rules, READ_S / scale)))
        self._process = ManagedProcess(
            name="prometheus",
            argv=[
                program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={HOST}:{self._port}",
                f"--query.lookback-delta={300_000 // scale}ms", "--log.level=warn",
            ],
            log=folder / "prometheus.log",
            ready=self._is_ready,
        )  # fmt: skip

    def __enter__(self) -> Self:
        """Start it."""
        self._process.start()
        try:
            self._process.wait_ready()
        except BaseException:
            self._process.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self._process.stop()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an expression now."""
        result: list[dict[str, Any]] = self._asked("query", query=expression)["result"]
        return result

    def over(self, metric: str, since: float, until: float) -> list[dict[str, Any]]:
        """Return the series of a metric with their values at every reading between two moments."""
        result: list[dict[str, Any]] = self._asked(
            "query_range", query=metric, start=since, end=until, step=READ_S / self._scale
        )["result"]
        return result

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        return {each["labels"]["alertname"] for each in self._alerts() if each["state"] == "firing"}

    def active(self) -> set[str]:
        """Return the names of the alerts that fire, or will if their reason lasts."""
        return {each["labels"]["alertname"] for each in self._alerts()}

    def _alerts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._asked("alerts")["alerts"]
        return found

    def wait_until(self, alert: str, seconds: float) -> bool:
        """Wait until an alert fires; returns whether it does within `seconds`."""
        deadline = time.monotonic() + seconds
        while alert not in self.firing():
            if time.monotonic() > deadline:
                return False
            time.sleep(READ_S / self._scale)
        return True

    def _asked(self, path: str, **parameters: object) -> dict[str, Any]:
        url = f"http://{HOST}:{self._port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
            data: dict[str, Any] = json.load(response)["data"]
        return data

    def _is_ready(self) -> bool:
        try:
            url = f"http://{HOST}:{self._port}/-/ready"
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
                return bool(response.status == 200)  # noqa: PLR2004
        except OSError:
            return False


def _config(endpoints: Endpoints, rules: Path, read_s: float) -> dict[str, Any]:
    period = f"{int(1000 * read_s)}ms"
    web, triton = (
        urllib.parse.urlparse(endpoints.web),
        urllib.parse.urlparse(endpoints.triton_metrics),
    )
    return {
        "global": {
            "scrape_interval": period, "scrape_timeout": period, "evaluation_interval": period,
        },
        "rule_files": [str(rules)],
        "scrape_configs": [
            {"job_name": "web", "static_configs": [{"targets": [web.netloc]}]},
            {"job_name": "triton", "static_configs": [{"targets": [triton.netloc]}]},
        ],
    }  # fmt: skip
