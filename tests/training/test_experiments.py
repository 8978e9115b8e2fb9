import json
from typing import Any

import pytest

from cardex.domain.errors import CardexError
from cardex.training import experiments
from cardex.training.experiments import FIGURES, run_all, runs_of, table
from cardex.training.trainer import Stopped


@pytest.fixture
def recipes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.toml").write_text("[matcher]\n")
    return [tmp_path / "a.toml", tmp_path / "b.toml"]


def figures(value):
    """Give every figure of the table one value."""
    found: dict[str, Any] = {}
    for *path, last in FIGURES.values():
        inner = found
        for key in path:
            inner = inner.setdefault(key, {})
        inner[last] = value if last == "model" else [value, 0.0, 1.0]
    return found


def test_all_recipes_come_once_before_any_comes_again(recipes):
    runs = runs_of(recipes, [3, 4], fold=9, folds=(1, 2))
    assert [run.label for run in runs] == ["a/3/9", "b/3/9", "a/4/9", "b/4/9"]
    assert [run.recipe.seed for run in runs] == [3, 3, 4, 4]
    assert all(run.folds == (1, 2) for run in runs)


def test_an_error_becomes_the_result_and_what_is_known_is_not_done_again(
    recipes, tmp_path, monkeypatch
):
    runs = runs_of(recipes, [0], fold=9)
    results = tmp_path / "out" / "results.json"
    results.parent.mkdir()
    results.write_text(json.dumps({"a/0/9": {"kept": 1}}))
    known = run_all(runs, tmp_path / "nowhere", tmp_path, results, jobs=1)
    assert known["a/0/9"] == {"kept": 1}
    assert "nowhere" in known["b/0/9"]["error"]
    assert json.loads(results.read_text()) == known
    monkeypatch.setattr(experiments, "multiprocessing", None)
    assert run_all(runs, tmp_path / "nowhere", tmp_path, results, jobs=1) == known


def test_an_interruption_is_no_result(recipes, tmp_path, monkeypatch):
    def measure(*task):
        raise error("here")

    monkeypatch.setattr(experiments, "measure", measure)
    (run, _) = runs_of(recipes, [0], fold=9)
    error = CardexError
    assert experiments._measured((run, tmp_path, tmp_path)) == ("a/0/9", {"error": "here"})
    error = Stopped
    with pytest.raises(Stopped):
        experiments._measured((run, tmp_path, tmp_path))


def test_a_row_is_mean_and_spread_over_the_runs():
    known = {
        "a/0/9": figures(0.2), "a/1/9": figures(0.4), "a/2/9": {"error": "no data"},
        "b/0/9": figures(30.0), "ab/0/9": figures(0.9),
    }  # fmt: skip
    head, first, second = table(known, ["a", "b", "nobody"])
    assert head == ["recipe", *FIGURES, "runs"]
    assert first == ["a", *["0.300 ± 0.141"] * len(FIGURES), "2"]
    assert second == ["b", *["30.0"] * len(FIGURES), "1"]
