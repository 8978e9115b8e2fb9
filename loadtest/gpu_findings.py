"""What `make gpu-check` found: its tables, and loadtest/results/gpu-check.json."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cardex.models.engine import Built
from cardex.models.precision import Precision
from loadtest import report
from loadtest.gpu_machine import Hardware
from loadtest.gpu_parity import Aim, Figures, named
from loadtest.gpu_speed import CPU, Speed

NAME = "gpu-check"
WIDTH = 110


@dataclass
class Findings:
    """Grows from step to step.

    Attributes:
        hardware: what it was measured on.
        model_version: of the graphs.
        asked: what was asked, as in "101 ECGs, 2000 reports".
        builds: how each engine was made.
        speeds: of each engine and of the CPU.
        figures: by name.
        aims: of the figures that have one.
        targets: words beside figures that decide nothing.
        left_out: what was not measured, and why.
        failed: what ended with an error.
    """

    hardware: Hardware
    model_version: str
    asked: str
    builds: list[dict[str, Any]] = field(default_factory=list)
    speeds: list[Speed] = field(default_factory=list)
    figures: Figures = field(default_factory=dict)
    aims: dict[str, Aim] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def add_build(self, model: str, precision: Precision, built: Built) -> None:
        """Keep how an engine was made."""
        made = built.report
        self.builds.append(
            {
                "model": model,
                "precision": precision.value,
                "seconds": made.seconds,
                "megabytes": round(made.plan_bytes / 1e6, 2),
                "tf32": made.tf32,
                "layers": made.layers,
            }
        )

    def add_figures(
        self, prefix: str, figures: Mapping[str, float], aims: Mapping[str, Aim] | None = None
    ) -> None:
        """Keep figures, and the aims of those that have one."""
        self.figures |= named(prefix, figures)
        known = {name: aim for name, aim in (aims or {}).items() if name in figures}
        self.aims |= {f"{prefix}: {name}": aim for name, aim in known.items()}

    def add_speeds(self, speeds: list[Speed]) -> None:
        """Keep how fast one model is; at the typical shape the ratio is a figure."""
        self.speeds += speeds
        for one in speeds:
            if one.size == "typical" and one.runner != CPU:
                self.figures[f"{one.runner}: {one.model}, {one.shape}, over the CPU"] = one.ratio

    @property
    def missed(self) -> list[str]:
        """Each aim that is missed, with the figure."""
        return [
            f"{name} is {self.figures[name]:.6g}, aim: {aim}"
            for name, aim in self.aims.items()
            if not aim.met(self.figures[name])
        ]

    @property
    def status(self) -> int:
        """0 where every aim is met and nothing failed, else 1."""
        return 1 if self.missed or self.failed else 0


def keep(found: Findings, console: Console | None = None) -> None:
    """Print the tables, and write the file."""
    console = console or Console(width=WIDTH, highlight=False)
    for table in (_builds(found), _speeds(found)):
        console.print(table)
    aims = {name: str(aim) for name, aim in found.aims.items()} | found.targets
    report.publish(NAME, found.figures, aims)
    path = report.RESULTS / f"{NAME}.json"
    body = json.loads(path.read_bytes()) | {
        "gpu": asdict(found.hardware),
        "model_version": found.model_version,
        "asked": found.asked,
        "aims": aims,
        "missed": found.missed,
        "failed": found.failed,
        "left_out": found.left_out,
        "builds": found.builds,
        "speeds": [_rounded(speed) for speed in found.speeds],
    }
    path.write_text(json.dumps(body, indent=2) + "\n")
    for what, lines in (
        ("left out", found.left_out),
        ("failed", found.failed),
        ("missed", found.missed),
    ):
        for line in lines:
            console.print(f"[bold]{what}[/]: {escape(line)}", soft_wrap=True)


def _builds(found: Findings) -> Table:
    have = found.hardware
    title = f"{have.gpu} ({have.capability}), driver {have.driver}, {have.builder}, {found.model_version}"
    table = Table(title=title)
    for column in ("model", "precision", "layers", "TF32", "MB", "build s"):
        table.add_column(column)
    for each in found.builds:
        layers = " ".join(f"{count} {kind}" for kind, count in each["layers"].items())
        # In fp16 and int8 too, what stays in fp32 may use it.
        tf32, size = "on" if each["tf32"] else "off", f"{each['megabytes']:.1f}"
        row = (each["model"], each["precision"], layers, tf32, size, f"{each['seconds']:.1f}")
        table.add_row(*row)
    return table


def _speeds(found: Findings) -> Table:
    table = Table(title=f"calls one after another, copies included; CPU: {found.hardware.cpu}")
    for column in ("model", "runner", "shape", "calls", "p50 ms", "p99 ms", "rows/s", "over CPU"):
        table.add_column(column, justify="left" if column in ("model", "runner") else "right")
    for each in found.speeds:
        table.add_row(
            each.model, each.runner, each.shape, str(each.calls), f"{each.p50_ms:.3f}",
            f"{each.p99_ms:.3f}", f"{each.rows_per_s:.0f}", f"{each.ratio:.2f}",
        )  # fmt: skip
    return table


def _rounded(speed: Speed) -> dict[str, Any]:
    return {
        name: float(f"{value:.4g}") if isinstance(value, float) else value
        for name, value in asdict(speed).items()
    }
