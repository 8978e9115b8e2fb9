"""Writes the figures of experiments/results and loadtest/results into the pages that state them."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from cardex.evaluation import recipe_table
from cardex.evaluation.pages import written
from cardex.evaluation.tables import BLOCKS
from cardex.inference.repository import newest
from loadtest.figures import BLOCKS as OF_SPEED

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS = ROOT / "experiments"
FIGURES = EXPERIMENTS / "results/shipped.json"
HELD_OUT = EXPERIMENTS / "results/held-out-sites.json"
TABLES = {"encodings": "make table1", "techniques": "make techniques"}
"""Folders of recipes, and the commands that train and measure all recipes in them."""
PAGES = (
    ROOT / "README.md",
    ROOT / "docs/benchmarks.md",
    ROOT / "docs/capacity.md",
    ROOT / "docs/evaluation.md",
    ROOT / "docs/training.md",
    newest(ROOT / "model_repository").page,
)


def blocks() -> Mapping[str, Callable[[], str]]:
    """Return what writes each block of figures, by its name."""
    found = json.loads(FIGURES.read_bytes())
    if HELD_OUT.is_file():
        found["held-out sites"] = json.loads(HELD_OUT.read_bytes())
    of_models = {name: partial(write, found) for name, write in BLOCKS.items()}
    of_recipes = {
        name: partial(
            recipe_table.block, EXPERIMENTS / f"results/{name}.json", EXPERIMENTS / name, command
        )
        for name, command in TABLES.items()
    }
    return of_models | of_recipes | dict(OF_SPEED)


def main() -> None:
    """Renew every block of figures; the rest of the pages stays."""
    writers = blocks()
    for page in PAGES:
        page.write_text(written(page.read_text(), writers))


if __name__ == "__main__":
    main()
