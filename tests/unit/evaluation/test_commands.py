"""`cardex evaluate`, with the served models on a small manifest."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cardex.cli.main import app
from cardex.evaluation.commands import described
from cardex.evaluation.ecgs import Ecgs
from cardex.evaluation.evaluate import Task
from cardex.inference.repository import newest
from cardex.reports.ptbxl import StatementKind
from tests.helpers import formats
from tests.helpers.fake_model import calibration

ROWS = (
    ("a.csv", "sinusrhythmus normales ekg", "NORM;SR", 9),
    ("b.csv", "vorhofflimmern", "AFIB", 9),
    ("c.csv", "sinusrhythmus normales ekg", "NORM;SR", 1),
    ("d.csv", "vorhofflimmern", "AFIB", 2),
    ("e.csv", "sinusrhythmus linkstyp", "SR", 3),
)
MODELS = Path(__file__).resolve().parents[3] / "model_repository"
TABLE = (
    "ecg_id,patient_id,strat_fold,report,scp_codes,filename_lr\n"
    "1,1,9,sinusrhythmus,{'SR': 0.0},records100/00000/00001_lr\n"
)


@pytest.fixture
def manifest(tmp_path, beats) -> Path:
    for number, (file, *_) in enumerate(ROWS):
        (tmp_path / file).write_bytes(formats.table(beats * (1.0 + 0.1 * number)))
    lines = [f"{file},{text},{codes},{fold}" for file, text, codes, fold in ROWS]
    path = tmp_path / "manifest.csv"
    path.write_text("\n".join(["file,report,codes,fold", *lines]))
    return path


@pytest.fixture
def evaluate(root):
    def run(*arguments: object, repository: Path = root / "model_repository"):
        words = ["evaluate", "--repository", repository, *arguments]
        return CliRunner().invoke(app, [str(word) for word in words])

    return run


@pytest.fixture
def repository(root, tmp_path) -> Path:
    """A copy of the served models, to be spoiled."""
    return Path(shutil.copytree(root / "model_repository", tmp_path / "models"))


def refused(result, reason: str, words: str) -> None:
    assert result.exit_code == 1, result.output
    assert f"({reason})" in result.output
    assert words in result.output.replace("\n", " ")
    assert "Traceback" not in result.output


def test_everything_is_one_json_object(evaluate, manifest, root):
    result = evaluate("--manifest", manifest, "--fold", 9, "--rerank", 2, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["fold"], found["data"]) == (9, "manifest.csv")
    assert "not measured: languages: no statement has ECGs enough" in found["warnings"]
    assert any("the gallery has 2 reports, not 1269" in each for each in found["warnings"])
    assert set(found["figures"]) == {"all"}
    every = found["figures"]["all"]
    assert (every["ecgs"], every["gallery"]) == (2, 2)
    assert (every["abnormal ecgs"], every["abnormal gallery"]) == (1, 1)
    assert every["paper"]["model"]["R@1"] == [100.0]
    ways = {"REPORT", "ECG", "BOTH", "majority", "chance"}
    assert every["cases"]["archive"] == {"cases": 3, "texts": 3, "limit": [100.0]}
    assert set(every["cases"]["figures"]) == ways
    assert set(every["cases"]["more than REPORT"]) == {"ECG", "BOTH"}
    assert set(every["drafts"]) == {"draft", "nearest report", "commonest report"}
    assert set(every["zero-shot"]) == {"all"}
    assert "Brier score" in every["probabilities"]
    assert every["re-ranked"]["count"] == 2
    assert every["re-ranked"]["ms_per_ecg"] > 0
    (figures,) = every["re-ranked"]["by_weight"]
    statements = json.loads(newest(root / "model_repository").statements.read_bytes())
    assert figures["match_weight"] == statements["match_weight"]


def test_tables_fit_a_terminal_and_name_the_baselines(evaluate, manifest):
    weights = ("--match-weight", 0, "--match-weight", 1)
    result = evaluate("--manifest", manifest, "--rerank", 2, *weights)
    assert result.exit_code == 0, result.output
    assert "…" not in result.output
    for words in ("majority", "chance", "own report", "report to ECG", "same text", "RSUM",
                  "METEOR", "Brier", "weight 0", "weight 1", "too few ECGs"):  # fmt: skip
        assert words in result.output
    assert "trained on this fold" not in result.output


def test_a_fold_that_trained_the_model_carries_a_warning(evaluate, manifest):
    result = evaluate("--manifest", manifest, "--fold", 1)
    assert result.exit_code == 0, result.output
    assert "trained on this fold (1)" in result.output


def test_an_archive_without_codes_has_neither_detection_nor_calibration(evaluate, tmp_path, beats):
    (tmp_path / "a.csv").write_bytes(formats.table(beats))
    (tmp_path / "bare.csv").write_text("file,report\na.csv,sinusrhythmus\n")
    result = evaluate("--manifest", tmp_path / "bare.csv", "--fold", 1, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    (figures,) = found["figures"].values()
    unmeasured = {"paper", "clinical", "zero-shot", "languages", "probabilities", "drafts"}
    assert not unmeasured & set(figures)
    assert figures["ecgs without codes"] == 1
    names = "paper, clinical, zero-shot, languages, probabilities"
    assert (
        f"not measured: {names}: no ECG has codes (column codes of a manifest)"
        in (found["warnings"])
    )
    assert "not measured: drafts: no other fold of 1 to 8 has a report" in found["warnings"]
    wanted = ("--protocol", "paper", "--protocol", "zero-shot")
    bare = evaluate("--manifest", tmp_path / "bare.csv", "--fold", 1, *wanted)
    refused(bare, "INVALID_QUESTION", "not measured: paper, zero-shot: no ECG has codes")


def test_what_is_measured_can_be_limited(evaluate, manifest):
    limits = ("--protocol", "distinct", "--protocol", "zero-shot", "--ecgs", "all")
    result = evaluate("--manifest", manifest, *limits, "--json")
    assert result.exit_code == 0, result.output
    (figures,) = json.loads(result.stdout)["figures"].values()
    assert {"distinct", "zero-shot", "statements"} < set(figures)
    assert not {"paper", "strict", "clinical", "probabilities", "drafts"} & set(figures)


def test_a_model_that_lacks_files_is_told_in_what_it_is_not_measured(
    evaluate, manifest, repository, root
):
    newest(repository).statements.unlink()
    newest(repository).novelty.unlink()
    limits = ("--protocol", "out-of-distribution", "--protocol", "probabilities")
    alone = evaluate("--manifest", manifest, *limits, repository=repository)
    refused(alone, "INVALID_QUESTION", "has no statements.json; not measured: out-of-distribution:")
    compared = evaluate("--manifest", manifest, *limits, "--against", repository, "--json")
    found = json.loads(compared.stdout)
    assert any("has no statements.json" in each for each in found["warnings"])
    assert {"probabilities", "out-of-distribution"} < set(found["figures"]["all"])
    assert "difference" not in found["figures"]["all"]


def test_a_model_against_itself_differs_nowhere(evaluate, manifest, root):
    models = root / "model_repository"
    result = evaluate("--manifest", manifest, "--against", models, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["against"] == found["model_version"]
    difference = found["figures"]["all"]["difference"]
    assert {"paper", "strict", "distinct", "clinical", "probabilities"} <= set(difference)
    values = [value for figures in difference.values() for value in figures.values()]
    assert values == [[0.0]] * len(values)
    shown = evaluate("--manifest", manifest, "--against", models, "--protocol", "distinct")
    assert f"difference from {found['against']}" in shown.output


@pytest.mark.parametrize("given", [(), ("--ptbxl", "a", "--manifest", "b")])
def test_there_is_one_source(evaluate, given):
    result = evaluate(*given)
    assert result.exit_code == 2
    assert "--manifest" in result.output


@pytest.mark.parametrize(
    ("arguments", "reason", "words"),
    [
        (("--manifest", "none.csv"), "INVALID_REPORT", "none.csv is no file"),
        (("--manifest", "."), "INVALID_REPORT", "takes a CSV file"),
        (("--ptbxl", "manifest.csv"), "INVALID_REPORT", "is no folder"),
        (("--ptbxl", "."), "INVALID_REPORT", "ptbxl_database.csv does not exist"),
        (("--manifest", "manifest.csv", "--fold", 7), "INVALID_REPORT", "folds 1, 2, 3, 9"),
        (("--manifest", "manifest.csv", "--rerank", 1), "RERANK", "0, or 2 to 128"),
        (("--manifest", "manifest.csv", "--match-weight", 1), "INVALID_QUESTION", "--rerank K"),
        (("--manifest", "manifest.csv", "--protocol", "best"), "INVALID_QUESTION",
         "--protocol 'best': must be one of paper, strict, distinct, clinical, cases, zero-shot"),
        (("--manifest", "manifest.csv", "--ecgs", "few"), "INVALID_QUESTION", "all, repre"),
        (("--manifest", "manifest.csv", "--ecgs", "other"), "INVALID_REPORT", "not told apart"),
        (("--manifest", "manifest.csv", "--rerank", 2, "--protocol", "paper"), "INVALID_QUESTION",
         "strict, distinct, clinical: choose"),
        (("--manifest", "manifest.csv", "--against", MODELS, "--protocol", "drafts"),
         "INVALID_QUESTION", "--against compares paper, strict"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_on_is_named(
    evaluate, manifest, monkeypatch, arguments, reason, words
):
    monkeypatch.chdir(manifest.parent)
    refused(evaluate(*arguments), reason, words)


def test_ptbxl_s_tables_without_waveforms_are_refused(evaluate, tmp_path):
    (tmp_path / "ptbxl_database.csv").write_text(TABLE)
    refused(evaluate("--ptbxl", tmp_path), "INVALID_REPORT", "has no waveform under records100/")


def test_a_header_without_its_samples_is_named(evaluate, tmp_path):
    (tmp_path / "ptbxl_database.csv").write_text(TABLE)
    folder = tmp_path / "records100" / "00000"
    folder.mkdir(parents=True)
    (folder / "00001_lr.hea").write_text("00001_lr 0\n")
    refused(evaluate("--ptbxl", tmp_path), "INVALID_REPORT", "00001_lr cannot be read")


def test_a_folder_without_a_model_is_named(evaluate, manifest, tmp_path):
    result = evaluate("--manifest", manifest, repository=tmp_path)
    refused(result, "CONFIGURATION", f"{tmp_path} holds no version of")


def test_a_missing_graph_is_named(evaluate, manifest, repository):
    newest(repository).graph("report_text_encoder").unlink()
    result = evaluate("--manifest", manifest, repository=repository)
    refused(result, "CONFIGURATION", "no version of ecg_image_encoder and report_text_encoder")


def test_a_damaged_graph_is_named(evaluate, manifest, repository):
    newest(repository).graph("report_text_encoder").write_bytes(b"no graph")
    result = evaluate("--manifest", manifest, repository=repository)
    refused(result, "CONFIGURATION", "report_text_encoder/1/model.onnx")


def test_a_tokenizer_of_another_model_is_refused(evaluate, manifest, repository):
    tokenizer = newest(repository).tokenizer
    tokenizer.write_text(tokenizer.read_text() + " ")
    result = evaluate("--manifest", manifest, repository=repository)
    refused(result, "VERSION_MISMATCH", "tokenizer.json is of another model")


def test_statements_of_another_model_are_refused(evaluate, manifest, repository):
    path = newest(repository).statements
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "model_version": "other"}))
    result = evaluate("--manifest", manifest, repository=repository)
    refused(result, "VERSION_MISMATCH", "belongs to model other")


def test_re_ranking_needs_a_matcher_and_its_weight(evaluate, manifest, repository):
    def rerank(*more: object):
        return evaluate("--manifest", manifest, "--rerank", 2, *more, repository=repository)

    newest(repository).statements.unlink()
    refused(rerank(), "CONFIGURATION", "give --match-weight")
    assert rerank("--match-weight", 0.1).exit_code == 0
    shutil.rmtree(repository / "ecg_report_matcher")
    refused(rerank("--match-weight", 0.1), "CONFIGURATION", "has no matcher")


def test_a_code_without_words_takes_those_that_the_model_knows():
    kinds = {code: StatementKind(code, "", "", False, False) for code in ("SR", "XX")}
    kinds["AFIB"] = StatementKind("own words", "", "", False, True)
    nothing = Ecgs([], np.zeros((0, 12, 1000), np.float32), np.zeros(0, dtype=bool))
    task = Task(nothing, [], [], [], kinds)
    known = calibration("SR", "AFIB")
    found = described(task, known).kinds
    assert found["SR"].description == known.statements[0].prompt
    assert found["XX"].description == "XX"
    assert found["AFIB"].description == "own words"
    assert described(task, None).kinds == kinds
