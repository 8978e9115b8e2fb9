import json
from typing import Any

import pytest

from cardex.domain.errors import CardexError, ConfigurationError, InvalidQuestion, InvalidReport
from cardex.evaluation.dataset import Dataset
from cardex.evaluation.recipe_table import FIGURES, title_of
from cardex.training import experiments
from cardex.training.experiments import read_results, require_all, run_all, runs_of, table
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
        inner[last] = [value, 0.0, 1.0]
    return {"all": found}


def test_all_recipes_come_once_before_any_comes_again(recipes):
    runs = runs_of(recipes, [3, 4], fold=9, folds=(1, 2))
    labels = [run.label.rsplit("/", 1)[0] for run in runs]
    assert labels == ["a/3/9", "b/3/9", "a/4/9", "b/4/9"]
    assert [run.recipe.seed for run in runs] == [3, 3, 4, 4]
    assert all(run.folds == (1, 2) for run in runs)


@pytest.mark.parametrize(
    ("content", "words"), [(None, "No such file"), (b"# Gr\xfcn\n[matcher]\n", "can't decode")]
)
def test_a_recipe_that_cannot_be_read_is_named(tmp_path, content, words):
    path = tmp_path / "c.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=rf"c\.toml: .*{words}"):
        runs_of([path], [0], fold=9)


def test_an_error_is_no_result_and_what_is_known_is_not_done_again(recipes, tmp_path, monkeypatch):
    runs = runs_of(recipes, [0], fold=9)
    results = tmp_path / "out" / "results.json"
    results.parent.mkdir()
    kept, other = runs
    results.write_text(json.dumps({kept.label: kept.entry(kept=1)}))
    known = run_all(runs, tmp_path / "nowhere", tmp_path, results, jobs=1)
    assert known[kept.label]["kept"] == 1
    assert "nowhere" in known[other.label]["error"]
    assert (known[other.label]["name"], known[other.label]["seed"]) == ("b", 0)
    with pytest.raises(CardexError, match=r"1 of 2 runs failed: b/0/9/.*nowhere"):
        require_all(known, runs)
    assert json.loads(results.read_text()).keys() == {kept.label}
    done = []
    monkeypatch.setattr(experiments, "run_jobs", lambda jobs, *_: done.extend(jobs))
    run_all(runs, tmp_path / "nowhere", tmp_path, results, jobs=1)
    assert [job.name for job in done] == [other.label]
    monkeypatch.setattr(experiments, "run_jobs", None)
    again = run_all([kept], tmp_path / "nowhere", tmp_path, results, jobs=1)
    require_all(again, [kept])


def test_an_interruption_is_no_result(recipes, tmp_path, monkeypatch):
    def measure(*task, **options):
        raise error("here")

    monkeypatch.setattr(experiments, "measure", measure)
    (run, _) = runs_of(recipes, [0], fold=9)
    error = CardexError
    experiments._measure(run, tmp_path, tmp_path, False)
    (path,) = tmp_path.glob("entry-*.json")
    assert json.loads(path.read_text()) == run.entry(error="here")
    path.unlink()
    error = Stopped
    with pytest.raises(Stopped):
        experiments._measure(run, tmp_path, tmp_path, False)
    assert not path.exists()


def test_a_fold_without_ecgs_is_named_before_anything_is_trained(
    recipes, ecgs, context, monkeypatch
):
    dataset = Dataset(ecgs.records, ecgs.of_folds([1, 2]), {})
    monkeypatch.setattr(experiments, "open_dataset", lambda *_: dataset)
    monkeypatch.setattr(experiments, "reports_of", None)  # the first stage
    (run, _) = runs_of(recipes, [0], fold=9)
    with pytest.raises(InvalidReport, match="fold 9 has no waveform"):
        experiments.measure(run, context.work, context.work)


def test_a_table_names_a_recipe_by_its_first_line(recipes):
    recipes[0].write_text("# The first one\n[matcher]\n")
    runs = runs_of(recipes, [0], fold=9)
    known = {run.label: run.entry(figures=figures(0.2)) for run in runs}
    assert [row[0] for row in table(known, runs)] == ["recipe", "The first one", "b"]


def test_what_a_changed_recipe_gave_is_removed_and_all_else_stays(recipes, tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "run_jobs", None)
    before = runs_of(recipes, [0, 1], fold=9)
    results = tmp_path / "results.json"
    results.write_text(json.dumps({run.label: run.entry(kept=1) for run in before}))
    recipes[0].write_text("[matcher]\nlanguage = 0.2\n")
    again = runs_of(recipes[1:], [0], fold=9)
    assert len(run_all(again, tmp_path, tmp_path, results, jobs=1)) == 4  # of b alone
    (changed,) = runs_of(recipes[:1], [0], fold=9)
    stored = json.loads(results.read_text()) | {changed.label: changed.entry(kept=2)}
    results.write_text(json.dumps(stored))
    run_all([changed], tmp_path, tmp_path, results, jobs=1)
    kept = {changed.label, *(run.label for run in before if run.name == "b")}
    assert json.loads(results.read_text()).keys() == kept


@pytest.mark.parametrize("folder", ["encodings", "techniques"])
def test_the_results_in_the_repository_are_of_its_recipes(root, folder):
    recipes = {path.stem: path for path in (root / "experiments" / folder).glob("[a-z]*.toml")}
    for label, entry in read_results(root / f"experiments/results/{folder}.json").items():
        (own,) = runs_of([recipes[entry["name"]]], [entry["seed"]], entry["fold"])
        assert own.label == label, f"run `cardex table` anew for {entry['name']}"


def test_a_second_image_is_another_run_and_results_without_one_stay(recipes):
    (plain, _) = runs_of(recipes, [0], fold=9)
    assert "second_image" not in str(plain.content)
    recipes[0].write_text("[second_image]\nimage_spec = { layout = 'simple-plot' }\n[matcher]\n")
    assert runs_of(recipes[:1], [0], fold=9)[0].key != plain.key


def test_a_changed_recipe_is_another_run(recipes):
    before, other = runs_of(recipes, [0], fold=9)
    assert before.key == other.key  # of the same content
    recipes[0].write_text("[matcher]\nlanguage = 0.2\n")
    after, _ = runs_of(recipes, [0], fold=9)
    assert after.key != before.key
    assert runs_of(recipes[1:], [0], fold=9)[0].label == other.label
    assert runs_of(recipes[1:], [0], fold=10)[0].key != other.key
    assert runs_of(recipes[1:], [0], fold=9, folds=(1, 2))[0].key != other.key
    known = {before.label: before.entry(figures=figures(0.2))}
    assert table(known, [after]) == [["recipe", *FIGURES, "runs"]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"a/0/9": {"strict": {}}}', "do not tell which recipe"),
        ("[1, 2]", "no file of results"),
        ("{", "no file of results"),
    ],
)
def test_results_of_an_unknown_recipe_are_refused(recipes, tmp_path, content, words):
    results = tmp_path / "results.json"
    results.write_text(content)
    with pytest.raises(ConfigurationError, match=words):
        run_all(runs_of(recipes, [0], fold=9), tmp_path, tmp_path, results, jobs=1)
    assert results.read_text() == content


def test_a_row_is_mean_and_spread_over_the_runs(recipes):
    runs = runs_of(recipes, [0, 1, 2], fold=9)
    values = {"a/0": 0.2, "b/0": 30.0, "a/1": 0.4}
    known = {
        run.label: run.entry(figures=figures(value))
        if (value := values.get(f"{run.name}/{run.recipe.seed}"))
        else run.entry(error="no data")
        for run in runs
    }
    head, first, second = table(known, runs)
    assert head == ["recipe", *FIGURES, "runs"]
    assert first == ["a", *["0.3 ± 0.1"] * 7, *["0.300 ± 0.141"] * 3, "2"]
    assert second == ["b", *["30.0"] * 7, *["30.000"] * 3, "1"]
    with pytest.raises(InvalidQuestion, match="--ecgs other: a was measured on all alone"):
        table(known, runs, "other")


@pytest.mark.parametrize("folder", ["encodings", "techniques"])
def test_each_recipe_of_a_table_has_a_title_of_its_own(root, folder):
    titles = [title_of(path) for path in (root / "experiments" / folder).glob("[a-z]*.toml")]
    assert len(set(titles)) == len(titles) > 10
