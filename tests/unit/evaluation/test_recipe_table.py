import json
from typing import Any

import pytest

from cardex.domain.errors import InvalidQuestion
from cardex.evaluation.recipe_table import FIGURES, block, rows_of, title_of


def figures(value: float, ecgs: str = "representative") -> dict[str, Any]:
    """Give every figure of the table one value."""
    found: dict[str, Any] = {"ecgs": 237}
    for *path, last in FIGURES.values():
        inner = found
        for key in path:
            inner = inner.setdefault(key, {})
        inner[last] = [value, 0.0, 1.0]
        found[path[0]].setdefault("majority", {})[last] = [4.0, 3.0, 5.0]
    return {ecgs: found}


def entry(name: str, **content: Any) -> dict[str, Any]:
    return {"name": name, "seed": 0, "fold": 9, "recipe": "x", **content}


@pytest.fixture
def recipes(tmp_path):
    for name, line in (("_base", "# All"), ("a", "# The first"), ("b", "[image]")):
        (tmp_path / f"{name}.toml").write_text(f"{line}\nseed = 0\n")
    return tmp_path


def test_a_recipe_is_called_by_its_first_line_or_its_file(recipes):
    assert title_of(recipes / "a.toml") == "The first"
    assert title_of(recipes / "b.toml") == "b"


def test_a_row_is_mean_and_spread_over_the_runs():
    measured = {"x": [figures(0.2), figures(0.4)], "y": [figures(30.0)]}
    head, first, second = rows_of(measured, "representative")
    assert head == ["recipe", *FIGURES, "runs"]
    assert first == ["x", *["0.3 ± 0.1"] * 7, *["0.300 ± 0.141"] * 3, "2"]
    assert second == ["y", *["30.0"] * 7, *["30.000"] * 3, "1"]
    with pytest.raises(InvalidQuestion, match="--ecgs other: x was measured on representative"):
        rows_of(measured, "other")


def test_a_figure_that_too_few_ecgs_have_is_no_number():
    found = figures(0.2)
    found["representative"]["zero-shot"]["subclass"]["AUROC"] = None
    assert rows_of({"x": [found]}, "representative")[1][-2:] == ["nan", "1"]


@pytest.mark.parametrize("content", [None, {}, {"l": entry("a", error="no data")}])
def test_a_table_that_was_not_measured_names_its_command(recipes, content):
    results = recipes / "results.json"
    if content is not None:
        results.write_text(json.dumps(content))
    assert block(results, recipes, "make it") == (
        "Not measured yet: `make it` measures, and writes the table."
    )


def test_a_page_says_what_was_measured_and_has_the_best_recipe_first(recipes):
    """By the mean over its runs, not by the luckiest of them."""
    where = {"machine": "2 cores", "date": "2026-01-02"}
    content = {
        "0": entry("a", figures=figures(49.0), **where),
        "1": entry("a", figures=figures(19.0), **where),
        "2": entry("b", figures=figures(30.0), **where | {"date": "2026-01-04"}),
        "3": entry("gone", figures=figures(50.0), **where),
        "4": entry("b", figures=figures(40.0)),
    }
    (recipes / "results.json").write_text(json.dumps(content))
    text = block(recipes / "results.json", recipes, "make it")
    assert text.startswith("`make it`, 2026-01-02 to 2026-01-04, 2 cores, fold 9, 237 represent")
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0] for line in lines] == [
        "| recipe", "| b", "| The first", "| *the commonest reports, whatever the ECG*",
    ]  # fmt: skip
    assert lines[1].startswith("| b | 35.0 ± 7.1 | ")
    assert lines[1].endswith(" | 2 |")
    assert lines[3].endswith(" | 4.0 | 4.000 | 0.500 | 0.500 |  |")
