"""Writes the figures of experiments/results/shipped.json into the pages that state them."""

import json
from pathlib import Path

from cardex.evaluation.pages import written
from cardex.inference.repository import newest

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "experiments/results/shipped.json"
PAGES = (
    ROOT / "README.md",
    ROOT / "docs/evaluation.md",
    newest(ROOT / "model_repository").page,
)


def main() -> None:
    """Renew every block of figures; the rest of the pages stays."""
    found = json.loads(FIGURES.read_bytes())
    for page in PAGES:
        page.write_text(written(page.read_text(), found))


if __name__ == "__main__":
    main()
