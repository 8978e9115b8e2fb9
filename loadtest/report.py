"""What every benchmark prints and keeps: figures beside their aims, with date and machine."""

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


def publish(
    name: str, figures: Mapping[str, float], aims: Mapping[str, str], accelerator: str = ""
) -> None:
    """Print the figures of `make NAME` and write them to loadtest/results/NAME.json.

    Args:
        name: of the target in the Makefile.
        figures: by name; they are rounded to four digits.
        aims: the wanted value, in words, of the figures that have one.
        accelerator: what computed beside the CPU; it is named with the machine.
    """
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    machine += f", {accelerator}" if accelerator else ""
    date = datetime.now(UTC).date().isoformat()
    table = Table(title=f"make {name}, {date}, {machine}")
    for column in ("figure", "measured", "aim"):
        table.add_column(column)
    for figure, value in figures.items():
        table.add_row(figure, f"{value:.3g}", aims.get(figure, ""))
    Console(width=110).print(table)
    RESULTS.mkdir(exist_ok=True)
    rounded = {figure: float(f"{value:.4g}") for figure, value in figures.items()}
    body = {"date": date, "machine": machine, "figures": rounded}
    (RESULTS / f"{name}.json").write_text(json.dumps(body, indent=2) + "\n")
