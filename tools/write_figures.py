"""Writes the figures of experiments/results/ into the pages that state them."""

import json
from pathlib import Path
from typing import Any

from cardex.evaluation.pages import written
from cardex.inference.repository import newest

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "experiments/results/shipped.json"
HELD_OUT = ROOT / "experiments/results/held-out-sites.json"
PAGES = (
    ROOT / "README.md",
    ROOT / "docs/evaluation.md",
    newest(ROOT / "model_repository").page,
)


def measured() -> dict[str, Any]:
    """Return what `cardex evaluate` and, as "held-out sites", `cardex held-out-sites` found."""
    found: dict[str, Any] = json.loads(FIGURES.read_bytes())
    if HELD_OUT.is_file():
        found["held-out sites"] = json.loads(HELD_OUT.read_bytes())
    return found


def main() -> None:
    """Renew every block of figures; the rest of the pages stays."""
    found = measured()
    for page in PAGES:
        page.write_text(written(page.read_text(), found))


if __name__ == "__main__":
    main()
