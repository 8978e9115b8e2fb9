"""Retrieval, zero-shot, calibration, drafts and re-ranking on encoders whose quality is known."""

import json
from dataclasses import replace

import numpy as np
import pytest

from cardex.domain.errors import CardexError, ConfigurationError, InvalidReport
from cardex.evaluation import drafts, reranking, retrieval, zero_shot
from cardex.evaluation.calibration import Curve, brier, calibration_error, fit
from cardex.evaluation.dataset import Dataset, open_dataset
from cardex.evaluation.ecgs import Ecgs
from cardex.evaluation.embedder import OnnxEmbedder, finite
from cardex.evaluation.evaluate import (
    Ranking,
    difference,
    evaluate,
    gallery_of,
    outcome_of,
    task_of,
)
from cardex.evaluation.intervals import Subset
from cardex.evaluation.probabilities import Detector, Probabilities
from cardex.evaluation.task import abnormal_gallery_of
from cardex.inference.agreement import Agreement
from cardex.inference.repository import newest
from cardex.reports.ptbxl import Record, StatementKind
from cardex.retrieval.draft import VOTERS
from cardex.signals.image_spec import ImageSpec
from tests.helpers import formats

WORDS = {"AFIB": "atrial fibrillation", "NORM": "normal ecg", "PVC": "ventricular extrasystoles"}
CODES = sorted(WORDS)
KINDS = {
    "AFIB": StatementKind(WORDS["AFIB"], "", "", False, True),
    "NORM": StatementKind(WORDS["NORM"], "NORM", "NORM", False, False),
    "PVC": StatementKind(WORDS["PVC"], "", "", True, False),
}
SPEC = ImageSpec(layout="raster", scaling="deviation", window_s=1.0)


class Told:
    """Embeds a text by the statements in its words, an ECG by those that its first lead spells."""

    specs = (SPEC,)

    def __init__(self, noise: float = 0.0) -> None:
        self.noise, self.random = noise, np.random.default_rng(0)

    def texts(self, texts):
        rows = [[WORDS[code] in text for code in CODES] + [0.1 * len(text) / 20] for text in texts]
        return self._unit(np.array(rows, dtype=np.float32))

    def images(self, images):
        first = images[:, 0, :3, 0]
        spelt = first == first.max(axis=1, keepdims=True)
        rows = np.concatenate([spelt, np.zeros((len(images), 1))], axis=1)
        return self._unit(rows + self.noise * self.random.standard_normal(rows.shape))

    def _unit(self, rows):
        return (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)).astype(
            np.float32
        )


def figures_of(scores, gallery, task):
    (every,) = task.subsets(["all"])
    return retrieval.summary(
        retrieval.measure(scores, scores, gallery, ("strict", "distinct")), every
    )


def record(number, fold):
    code = CODES[number % 3]
    text = f"{WORDS[code]}. seen {'i' * (number // 3 % 20)}"
    return Record(number, number // 2, fold, text, {code: 100.0}, f"{number}.csv")


@pytest.fixture
def dataset():
    records = [record(number, 1 + number % 10) for number in range(300)]
    own = [r for r in records if r.ecg_id % 2 or r.fold == 9]
    signals = np.zeros((len(own), 12, 100), dtype=np.float32)
    for row, each in enumerate(own):
        signals[row, 0, CODES.index(next(iter(each.codes)))] = 1.0
    return Dataset(records, Ecgs(own, signals, np.ones(len(own), dtype=bool)), KINDS)


def test_an_encoder_that_knows_finds_the_statements_and_chance_does_not(dataset):
    found = evaluate(Told(), task_of(dataset, 9, size=60))["all"]
    assert found["ecgs"] == 30
    assert found["gallery"] == 60
    assert found["clinical"]["model"]["jaccard@5"][0] == 1.0
    assert found["clinical"]["chance"]["jaccard@5"][0] < 0.6
    assert found["zero-shot"]["form"]["AUROC"] == [1.0, 1.0, 1.0]
    perfect = [{"positive": 10, "AUROC": [1.0, 1.0, 1.0]}] * 3
    assert found["statements"] == dict(zip(CODES, perfect, strict=True))
    for protocol in ("strict", "strict back", "distinct"):
        mean, low, high = found[protocol]["model"]["R@5"]
        assert low <= mean <= high
    json.dumps(found)


def test_the_paper_s_protocol_leaves_normal_ecgs_and_reports_out(dataset):
    task = task_of(dataset, 9, size=60)
    found = evaluate(Told(), task)["all"]
    assert found["abnormal ecgs"] == 20
    assert found["abnormal gallery"] == 40  # all abnormal reports that folds 9 and 10 have
    gallery = abnormal_gallery_of(task)
    assert not any(WORDS["NORM"] in text for text in gallery.texts)
    assert len(gallery.columns) == 40
    chance = found["paper"]["chance"]["R@10"][0]
    assert chance == pytest.approx(100 * 10 / 40, abs=0.01)
    assert found["paper back"]["chance"]["R@10"][0] == pytest.approx(100 * 10 / 20, abs=0.01)
    total, low, high = found["paper"]["model"]["RSUM"]
    assert low <= total <= high


def without_codes(dataset, left_out):
    """The data set without the codes of some records."""

    def stripped(records):
        return [replace(each, codes={}) if left_out(each) else each for each in records]

    ecgs = replace(dataset.ecgs, records=stripped(dataset.ecgs.records))
    return replace(dataset, records=stripped(dataset.records), ecgs=ecgs)


def test_ecgs_without_codes_have_no_part_in_what_statements_measure(dataset):
    detectors = {code: Detector(WORDS[code], Curve(5.0, -2.5)) for code in CODES}
    partly = without_codes(dataset, lambda each: each.ecg_id >= 150)
    task = task_of(partly, 9, size=60)
    (every,) = task.subsets()
    coded = [row for row, each in enumerate(task.records) if each.ecg_id < 150]
    found = evaluate(Told(), task, detectors)["all"]
    assert (found["ecgs"], found["ecgs without codes"]) == (30, 15)
    assert (found["abnormal ecgs"], found["abnormal gallery"]) == (10, 20)
    assert found["clinical"]["model"]["jaccard@5"][0] == 1.0
    assert {each["positive"] for each in found["statements"].values()} == {5}
    assert found["zero-shot"]["all"]["AUROC"] == [1.0, 1.0, 1.0]
    outcome = outcome_of(Told(), task, detectors)
    assert outcome.probabilities is not None
    errors = outcome.probabilities.errors()[coded]
    assert found["probabilities"]["Brier score"][0] == pytest.approx(errors.mean(), abs=1e-4)
    assert difference(outcome, outcome, task, every)["zero-shot"]["all"] == [0.0, 0.0, 0.0]


def test_where_no_ecg_has_codes_nothing_is_measured_by_statements(dataset):
    bare = task_of(without_codes(dataset, lambda each: each.fold == 9), 9, size=60)
    detectors = {code: Detector(WORDS[code], Curve(5.0, -2.5)) for code in CODES}
    found = evaluate(Told(), bare, detectors)["all"]
    assert found["ecgs without codes"] == 30
    assert {"strict", "strict back", "distinct"} < set(found)
    measured_by_statements = {"paper", "clinical", "zero-shot", "statements", "probabilities"}
    assert not measured_by_statements & set(found)
    outcome = outcome_of(Told(), bare, detectors)
    (every,) = bare.subsets()
    assert set(difference(outcome, outcome, bare, every)) == {"strict", "strict back", "distinct"}


def test_ecgs_are_told_apart_where_the_data_set_lists_the_representative_ones(dataset):
    own = [each.ecg_id for each in dataset.ecgs.records if each.fold == 9]
    apart = replace(dataset, representative=frozenset(own[:20]))
    task = task_of(apart, 9, size=60)
    found = evaluate(Told(), task)
    assert {name: figures["ecgs"] for name, figures in found.items()} == {
        "all": 30, "representative": 20, "other": 10,
    }  # fmt: skip
    assert {figures["gallery"] for figures in found.values()} == {60}
    assert list(evaluate(Told(), task, ecgs=["other"])) == ["other"]
    with pytest.raises(InvalidReport, match="representative are not told apart"):
        task_of(dataset, 9).subsets(["representative"])


def test_a_model_is_compared_with_another_on_the_same_ecgs(dataset):
    task = task_of(dataset, 9, size=60)
    (every,) = task.subsets()
    sharp, flat = Curve(5.0, -2.5), Curve(0.0, 0.0)
    one, other = (
        outcome_of(model, task, {code: Detector(WORDS[code], curve) for code in CODES})
        for model, curve in ((Told(), sharp), (Told(noise=2.0), flat))
    )
    found = difference(one, other, task, every)
    assert list(found) == [
        "paper", "paper back", "strict", "strict back", "distinct", "clinical", "zero-shot",
        "probabilities",
    ]  # fmt: skip
    assert found["clinical"]["jaccard@5"][1] > 0.0
    assert found["zero-shot"]["all"][1] > 0.0
    assert found["probabilities"]["Brier score"][2] < 0.0


def test_agreeing_statements_are_added_as_the_service_adds_them(dataset):
    task = task_of(dataset, 9, size=60)
    detectors = {code: Detector(WORDS[code], Curve(20.0, -10.0)) for code in CODES}
    of_others = {code: (place + 1) % 3 for place, code in enumerate(CODES)}
    agreement = Agreement(5.0, 1.0, of_others)  # reads every report's statements as others

    def jaccard(detectors, agreement=None):
        found = evaluate(Told(), task, detectors, agreement=agreement)
        return found["all"]["clinical"]["model"]["jaccard@5"][0]

    assert jaccard(detectors) == 1.0 > jaccard(detectors, agreement)
    assert jaccard({}, agreement) == 1.0  # nothing is known of the ECG's statements


def test_what_is_not_asked_for_is_not_measured(dataset):
    outcome = outcome_of(Told(), task_of(dataset, 9), {}, ("distinct",))
    assert list(outcome.answers) == ["distinct"]
    assert not outcome.prompts
    assert outcome.probabilities is None


def test_only_the_own_entry_is_a_hit_where_it_is_strict(dataset):
    task = task_of(dataset, 9, size=30)
    gallery = gallery_of(task)
    own = np.eye(len(gallery.texts), dtype=np.float32)[gallery.columns[: len(task.records)]]
    found = figures_of(own, gallery, task)
    copies = np.bincount(gallery.columns)[gallery.columns]
    assert found["strict"]["model"]["R@1"][0] == pytest.approx(100 * np.mean(1 / copies), abs=0.01)
    assert found["distinct"]["model"]["R@1"][0] == 100.0


def test_the_majority_answers_the_commonest_training_report(dataset):
    common = [Record(1000 + n, 900 + n, 1, "common", {}, "") for n in range(400)]
    odd = [Record(2000 + n, 2000 + n, 10, "common", {}, "") for n in range(3)]
    dataset.records.extend(common + odd)
    task = task_of(dataset, 9, size=100)
    gallery = gallery_of(task)
    if "common" not in gallery.texts:
        pytest.fail("the gallery was to hold it")
    scores = np.zeros((len(task.records), len(gallery.texts)), dtype=np.float32)
    found = figures_of(scores, gallery, task)
    assert found["strict"]["majority"]["R@1"][0] == 0.0
    assert gallery.texts[int(gallery.commonness.argmax())] == "common"


def test_a_reversed_scorer_and_few_positives(dataset):
    task = task_of(dataset, 9, size=30)
    ecgs = np.array([[code in r.codes for code in CODES] for r in task.records], dtype=np.float32)
    prompts = {code: -np.eye(3, dtype=np.float32)[place] for place, code in enumerate(CODES)}
    (every,) = task.subsets()
    some = Subset.of("few", np.arange(6), task.patients)
    found, few = (
        zero_shot.summary(
            zero_shot.measure(ecgs, prompts, task.records, zero_shot.levels(KINDS), subset)
        )
        for subset in (every, some)
    )
    assert found["rhythm"]["AUROC"][0] == 0.0
    assert few["rhythm"]["AUROC"] is None


def test_curves_recover_what_made_the_statements():
    random = np.random.default_rng(0)
    similarity = random.normal(0.0, 0.02, (5000, 3)).astype(np.float32)
    slopes, intercepts = np.array([100.0, 120.0, 90.0]), np.array([-1.0, 0.5, -2.0])
    odds = slopes * similarity + intercepts
    true = random.random(odds.shape) < 1 / (1 + np.exp(-odds))
    curves = fit(similarity, true)
    for curve, slope, intercept in zip(curves, slopes, intercepts, strict=True):
        assert curve.slope == pytest.approx(slope, rel=0.1)
        assert curve.intercept == pytest.approx(intercept, abs=0.15)
    probability = np.stack([c(s) for c, s in zip(curves, similarity.T, strict=True)], axis=1)
    assert calibration_error(probability, true) < 0.02
    assert brier(probability, true) < brier(np.full(true.shape, true.mean()), true)


def test_few_positives_stay_near_the_common_slope_and_extremes_within_bounds():
    random = np.random.default_rng(1)
    similarity = random.normal(0.0, 0.02, (400, 2)).astype(np.float32)
    true = random.random((400, 2)) < 1 / (1 + np.exp(-100.0 * similarity))
    true[:, 1] = False
    true[int(similarity[:, 1].argmin()), 1] = True  # one ECG, against all sense
    many, few = fit(similarity, true)
    assert few.slope > 0.2 * many.slope
    assert few(np.array([0.0], np.float32))[0] < 0.05
    assert (Curve(1e4, 0.0)(np.array([-9.0, 9.0], np.float32)) <= 1.0).all()


def test_agreement_moves_only_the_reports_that_the_service_orders_by_it():
    agreeing = np.linspace(0.0, 1.0, VOTERS + 10, dtype=np.float32)  # the farthest agree most
    vectors = np.stack([1.0 - 0.1 * agreeing, agreeing], axis=1)

    class Given(Told):
        def texts(self, texts):
            return vectors[[int(text) for text in texts]]

    known = Probabilities(["AFIB"], np.array([[0.0], [1.0]]), np.array([[False], [True]]))
    ecgs = np.array([[1.0, 0.0], [1.0, 0.0]], dtype=np.float32)
    ranking = Ranking(Given(), ecgs, known, Agreement(2.0, 1.0, {"AFIB": 1}))
    texts, once = [str(place) for place in range(len(vectors))], np.ones(len(vectors))
    scored = ranking.scores(texts, once)
    np.testing.assert_allclose(scored.similarity[1], vectors[:, 0])
    order = np.argsort(-scored.ranked[1], kind="stable").tolist()
    assert order[:VOTERS] == list(range(VOTERS))[::-1]
    assert order[VOTERS:] == list(range(VOTERS, len(vectors)))
    # Nothing is held probable of the first ECG.
    np.testing.assert_allclose(scored.ranked[0], scored.similarity[0])
    again = ranking.rows(np.array([1])).scores(["3"], np.ones(1))
    np.testing.assert_allclose(again.ranked, scored.ranked[1:, 3:4])
    common = replace(ranking, agreement=Agreement(0.0, 1.0, {"AFIB": 1}, commonness_weight=0.01))
    often = once.copy()
    often[[5, VOTERS]] = 100.0
    scored = common.scores(texts, often)
    added = scored.ranked[0] - scored.similarity[0]
    assert added[5] == pytest.approx(0.01 * np.log(100))
    assert not np.delete(added, 5).any()  # one that is not among the nearest stays where it is
    np.testing.assert_allclose(scored.said, scored.similarity)


def test_drafts_are_scored_beside_the_nearest_and_the_commonest_report(dataset):
    task = task_of(dataset, 9, size=30)
    told = Told()
    ecgs = told.texts([r.text for r in task.records])
    ranking = Ranking(told, ecgs, None, None)
    found = drafts.measure(ranking, task.records, task.training, KINDS)
    assert set(found) == {"draft", "nearest report", "commonest report"}
    assert found["nearest report"]["meteor"] > found["commonest report"]["meteor"]
    assert found["nearest report"]["statement_f1"] == 100.0
    assert found["draft"]["statement_f1"] > 60.0


def test_the_statements_of_drafts_are_compared_where_there_are_codes(dataset):
    def f1_of(dataset):
        task = task_of(dataset, 9, size=30)
        told = Told()
        ranking = Ranking(told, told.texts([r.text for r in task.records]), None, None)
        found = drafts.measure(ranking, task.records, task.training, KINDS)
        return {scores.get("statement_f1") for scores in found.values()}

    half = without_codes(dataset, lambda each: each.fold == 9 and each.ecg_id < 150)
    assert max(f1_of(half)) == 100.0  # of the nearest report, as on all ECGs
    assert f1_of(without_codes(dataset, lambda each: each.fold == 9)) == {None}
    assert f1_of(without_codes(dataset, lambda each: each.fold != 9)) == {None}


def test_what_was_not_matched_stays_below_in_its_order():
    scores = np.array([[0.9, 0.8, 0.7, 0.6]], dtype=np.float32)
    odds = np.array([[-5.0, 5.0, np.nan, np.nan]], dtype=np.float32)
    found = reranking.combined(scores, odds, 0.1)
    assert found[0].argsort()[::-1].tolist() == [1, 0, 2, 3]
    np.testing.assert_allclose(reranking.combined(scores, odds, 0.0)[0, :2], scores[0, :2])


def test_a_manifest_is_read_but_for_the_ecgs_that_cannot_be(tmp_path, caplog, beats):
    (tmp_path / "good.csv").write_bytes(formats.table(beats))
    (tmp_path / "bad.csv").write_text("rubbish")
    rows = ["file,report,codes,fold", "good.csv,sinus rhythm,NORM,9", "bad.csv,x,NORM,9"]
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("\n".join(rows))
    found = open_dataset(manifest)
    assert [r.text for r in found.records] == ["sinus rhythm"]
    assert found.ecgs.signals.shape == (1, 12, 1000)
    assert "1 of 2 ECGs cannot be read" in caplog.text
    manifest.write_text("\n".join(rows[:1] + rows[2:]))
    with pytest.raises(InvalidReport, match="none of its 1 ECG files can be read"):
        open_dataset(manifest)


def test_a_folder_without_waveforms_is_refused(tmp_path):
    with pytest.raises(InvalidReport, match=r"ptbxl_database\.csv"):
        open_dataset(tmp_path)


def test_the_served_model_opens_and_another_tokenizer_is_refused(root, tmp_path):
    import shutil

    repository = tmp_path / "models"
    shutil.copytree(root / "model_repository", repository)
    assert OnnxEmbedder(repository).texts(["sinusrhythmus"]).shape == (1, 256)
    tokenizer = newest(repository).tokenizer
    tokenizer.write_text(tokenizer.read_text() + " ")
    with pytest.raises(CardexError, match="is of another model"):
        OnnxEmbedder(repository)
    tokenizer.unlink()
    with pytest.raises(CardexError, match="cannot load the tokenizer"):
        OnnxEmbedder(repository)


def test_an_answer_that_is_no_number_is_refused():
    embeddings = np.ones((3, 4), np.float32)
    assert finite(embeddings) is embeddings
    embeddings[1, 2] = np.nan
    with pytest.raises(ConfigurationError, match="number 2 of 3 is no number"):
        finite(embeddings)
