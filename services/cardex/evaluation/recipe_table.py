"""The table of recipes that were trained and measured alike, with one seed or several each."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cardex.domain.errors import InvalidQuestion
from cardex.evaluation import markdown
from cardex.evaluation.protocols import REPRESENTATIVE

FIGURES = {
    "abnormal RSUM": ("paper", "model", "RSUM"),
    "strict R@1": ("strict", "model", "R@1"),
    "R@5": ("strict", "model", "R@5"),
    "R@10": ("strict", "model", "R@10"),
    "RSUM": ("strict", "model", "RSUM"),
    "distinct R@1": ("distinct", "model", "R@1"),
    "distinct R@10": ("distinct", "model", "R@10"),
    "Jaccard@5": ("clinical", "model", "jaccard@5"),
    "superclass": ("zero-shot", "superclass", "AUROC"),
    "subclass": ("zero-shot", "subclass", "AUROC"),
}
"""The columns: where `evaluate` has each figure."""

Figures = Mapping[str, Any]
"""What `evaluate` returns: figures by subset of the ECGs."""


def title_of(recipe: Path) -> str:
    """Return a recipe's name in tables: its first line, a comment, or else that of its file."""
    first = recipe.read_text().partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else recipe.stem


def rows_of(measured: Mapping[str, Sequence[Figures]], ecgs: str) -> list[list[str]]:
    """Return the head of the table, and a row for each recipe.

    Args:
        measured: title of each recipe, and the figures of its runs.
        ecgs: the subset of the ECGs whose figures are shown.

    Returns:
        Mean and standard deviation over a recipe's runs of every figure, and their number.

    Raises:
        InvalidQuestion: if no run of a recipe was measured on that subset.
    """
    rows = [["recipe", *FIGURES, "runs"]]
    for title, every in measured.items():
        of_subset = [figures[ecgs] for figures in every if ecgs in figures]
        if not of_subset:
            raise InvalidQuestion(
                f"--ecgs {ecgs}: {title} was measured on {', '.join(every[0])} alone"
            )
        cells = [
            _cell([_figure(one, path) for one in of_subset], _digits(figure))
            for figure, path in FIGURES.items()
        ]
        rows.append([title, *cells, str(len(of_subset))])
    return rows


def block(results: Path, recipes: Path, command: str) -> str:
    """Return the table of a page: what was measured, and every recipe, the best one first.

    Args:
        results: JSON file of `cardex table`; it may be missing.
        recipes: folder of the recipes that are shown.
        command: the command that writes `results`.
    """
    entries = json.loads(results.read_bytes()) if results.is_file() else {}
    titles = {path.stem: title_of(path) for path in sorted(recipes.glob("[a-z]*.toml"))}
    shown = [entry for entry in entries.values() if entry["name"] in titles and "figures" in entry]
    if not shown:
        return f"Not measured yet: `{command}` measures, and writes the table."
    by_title: dict[str, list[Figures]] = {}
    for entry in shown:
        by_title.setdefault(titles[entry["name"]], []).append(entry["figures"])
    best_first = sorted(by_title.items(), key=lambda one: _mean_of_first(one[1]), reverse=True)
    head, *rows = rows_of(dict(best_first), REPRESENTATIVE)
    rows.append(_majority(shown[0]["figures"][REPRESENTATIVE]))
    return f"{_said(shown, command)}\n\n{markdown.table(head, rows)}"


def _majority(figures: Figures) -> list[str]:
    """Return the row of the commonest reports, which are the same for every ECG."""
    cells = []
    for figure, (protocol, _, name) in FIGURES.items():
        value = 0.5 if name == "AUROC" else _figure(figures, (protocol, "majority", name))
        cells.append(_cell([value], _digits(figure)))
    return ["*the commonest reports, whatever the ECG*", *cells, ""]


def _said(shown: Sequence[Mapping[str, Any]], command: str) -> str:
    figures = shown[0]["figures"][REPRESENTATIVE]
    dates = sorted({entry["date"] for entry in shown if "date" in entry})
    when = " to ".join(dict.fromkeys((*dates[:1], *dates[-1:])))
    where = "; ".join(sorted({entry["machine"] for entry in shown if "machine" in entry}))
    what = f"fold {shown[0]['fold']}, {figures['ecgs']} representative ECGs"
    return (
        f"{', '.join(filter(None, (f'`{command}`', when, where, what)))}; mean ± standard deviation"
        "\nof the runs with other seeds, the largest abnormal RSUM first."
    )


def _mean_of_first(runs: Iterable[Figures]) -> float:
    path = next(iter(FIGURES.values()))
    return float(np.nan_to_num(np.mean([_figure(run[REPRESENTATIVE], path) for run in runs])))


def _figure(figures: Figures, path: Iterable[str]) -> float:
    """Return the middle of the figure at a path; NaN where there were too few ECGs."""
    found: Any = figures
    for key in path:
        found = found.get(key) if found else None
    return float(found[0]) if found else float("nan")


def _digits(figure: str) -> int:
    return 1 if "R@" in figure or "RSUM" in figure else 3


def _cell(values: Sequence[float], digits: int) -> str:
    mean, spread = float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return f"{mean:.{digits}f} ± {spread:.{digits}f}" if len(values) > 1 else f"{mean:.{digits}f}"
