import json
import shutil
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from msgspec import structs

from cardex.domain.errors import CardexError
from cardex.evaluation.calibration import Curve
from cardex.evaluation.embedder import OnnxEmbedder
from cardex.evaluation.novelty import fit_space
from cardex.inference.agreement import stated
from cardex.inference.novelty import Novelty
from cardex.inference.probe import check_probe, probe_image
from cardex.inference.repository import (
    IMAGE_ENCODER,
    MATCHER,
    MODELS,
    STAT_INSTANCE,
    TEXT_ENCODER,
    newest,
)
from cardex.inference.statements import load_calibration
from cardex.inference.tokenizer import ReportTokenizer
from cardex.models.config import config_files, parameters, remove_parameters
from cardex.reports.ptbxl import StatementKind
from cardex.signals.image_spec import ImageSpec
from cardex.training import card as cards
from cardex.training.card import Card, agreement_of
from cardex.training.distributed import DistributedContext
from cardex.training.embedder import TorchEmbedder
from cardex.training.export import export
from cardex.training.image_encoder import ImageEncoder, Vit
from cardex.training.matcher import Matcher
from cardex.training.recipe import SecondImage
from cardex.training.run import Trained
from cardex.training.text_encoder import TextEncoder
from cardex.training.tokens import LENGTH, token_ids, train_tokenizer
from tests.training.conftest import RASTER, SMALL

CODES = ["AFIB", "NORM"]
KINDS = {code: StatementKind(f"words of {code}", "", "", False, False) for code in CODES}
TEXTS = ["sinus rhythm", "vorhofflimmern", "sinus sinus rhythm vorhofflimmern"]
WHO = ("model", "majority", "chance")
SCORES = {who: {name: [1.0, 0.5, 1.5] for name in ("R@1", "R@5", "R@10", "RSUM")} for who in WHO}
CLINICAL = {who: {f: [0.5, 0.4, 0.6] for f in ("jaccard@5", "nDCG@10")} for who in WHO}
EVERY = {
    "ecgs": 3, "gallery": 9, "distinct texts": 8, "abnormal ecgs": 2, "abnormal gallery": 6,
    "paper": SCORES, "paper back": SCORES, "strict": SCORES, "strict back": SCORES,
    "distinct": SCORES, "clinical": CLINICAL,
    "zero-shot": {"form": {"AUROC": [0.8, 0.7, 0.9], "classes": 2}, "rhythm": {"AUROC": None}},
}  # fmt: skip
FIGURES = {"all": EVERY}


@pytest.fixture
def repository(root, tmp_path):
    shutil.copytree(root / "model_repository", tmp_path / "models", symlinks=True)
    return tmp_path / "models"


@pytest.fixture
def trained(recipe):
    tokenizer = train_tokenizer(TEXTS, 60)
    text = TextEncoder(SMALL, tokenizer.get_vocab_size(), LENGTH, len(CODES), prototypes=3).eval()
    members = [Vit(SMALL, RASTER, 0, len(CODES)) for _ in range(2)]
    image = ImageEncoder(members, torch.zeros(len(CODES)), prototypes=4).eval()
    matcher = Matcher(image, text).eval()
    for block in matcher.blocks:
        torch.nn.init.normal_(block.out.weight, std=0.1)  # else no image could matter
    return Trained(recipe, tokenizer, text, image, matcher, CODES)


@pytest.fixture
def card():
    curves = {"AFIB": Curve(120.0, -2.0), "NORM": Curve(90.0, 0.5)}
    return Card(KINDS, curves, 0.25, FIGURES, "Made-up ECGs.")


TARGETS = ("cpu", "onnxruntime", "tensorrt")


def path_of(repository, model, target):
    return repository / model / "configs" / f"{target}.pbtxt"


def comments(path):
    return [line for line in path.read_text().splitlines() if line.lstrip().startswith("#")]


def images(count):
    return np.random.default_rng(count).integers(0, 256, (count, *RASTER.shape), np.uint8)


def test_what_is_exported_answers_as_torch_does_at_every_batch_size(trained, repository, card):
    export(trained, repository, card)
    served, own = OnnxEmbedder(repository), TorchEmbedder(trained, DistributedContext())
    for batch in (1, 5, 32):
        np.testing.assert_allclose(
            served.images(images(batch)), own.images(images(batch)), atol=1e-4
        )
    np.testing.assert_allclose(served.texts(TEXTS), own.texts(TEXTS), atol=1e-4)


def test_a_card_s_novelty_is_written_for_the_version_and_an_older_one_is_removed(
    trained, tmp_path, card
):
    space = fit_space(TorchEmbedder(trained, DistributedContext()).images(images(30)))
    novelty = Novelty("", space, np.array([2.0, 2.5]))
    version = export(trained, tmp_path / "new", replace(card, novelty=novelty))
    found = OnnxEmbedder(tmp_path / "new").novelty
    assert found
    assert found.model_version == version
    np.testing.assert_allclose(found.space.mean, space.mean, rtol=1e-5)
    export(trained, tmp_path / "new", card)
    assert OnnxEmbedder(tmp_path / "new").novelty is None


def test_statements_tell_the_share_that_their_curves_were_fitted_with(trained, tmp_path, card):
    curves = {"AFIB": Curve(120.0, -2.0, 0.1234567), "NORM": Curve(90.0, 0.5)}
    export(trained, tmp_path / "new", replace(card, curves=curves))
    found = load_calibration(newest(tmp_path / "new").statements)
    assert found
    assert [each.share for each in found.statements] == [0.123457, None]


def test_a_new_folder_becomes_a_repository_that_can_be_deployed(trained, tmp_path, card):
    version = export(trained, tmp_path / "new", card)
    release = newest(tmp_path / "new")
    assert (release.triton_version, release.version()) == (1, version)
    for model in MODELS:
        assert (tmp_path / "new" / model / "config.pbtxt").resolve().is_file()
        assert (release.folder(model) / "model.py").is_file()
        for config in config_files(tmp_path / "new", model):
            assert parameters(config, 1)["model_version"] == version
    assert OnnxEmbedder(tmp_path / "new").texts(TEXTS).shape == (3, SMALL.embedding)


def test_the_matcher_takes_any_number_of_ecgs_and_reports(trained, repository, card):
    export(trained, repository, card)
    graph = newest(repository).graph(MATCHER)
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    ids = token_ids(trained.tokenizer, TEXTS)
    for ecgs, reports in ((1, 1), (1, 3), (2, 2), (4, 3)):
        tokens = np.repeat(ids[None, :reports], ecgs, axis=0)
        (found,) = session.run(None, {"image": images(ecgs), "token_ids": tokens})
        with torch.no_grad():
            expected = trained.matcher(torch.from_numpy(images(ecgs)), torch.from_numpy(tokens))
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
    alone = OnnxEmbedder(repository).match(images(4)[1], TEXTS)
    np.testing.assert_allclose(found[1], alone, atol=1e-4)
    assert np.ptp(found, axis=0).max() > 1e-3, "the image does not matter"


def test_the_repository_names_version_and_image_everywhere(trained, repository, card):
    version = export(trained, repository, card)
    release = newest(repository)
    assert (release.version(), release.spec()) == (version, RASTER)
    assert version in release.page.read_text()


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_of_every_model_names_what_was_exported(trained, repository, card, target):
    version = export(trained, repository, card)
    said = {model: parameters(path_of(repository, model, target), 1) for model in MODELS}
    assert {of_model["model_version"] for of_model in said.values()} == {version}
    assert ImageSpec.from_json(said[IMAGE_ENCODER]["image_spec"]) == RASTER
    assert said[STAT_INSTANCE] == said[IMAGE_ENCODER]
    tokenizer = ReportTokenizer(newest(repository).tokenizer)
    assert said[TEXT_ENCODER]["tokenizer_sha256"] == tokenizer.fingerprint
    assert said[TEXT_ENCODER]["length"] == str(tokenizer.length)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("model", [IMAGE_ENCODER, STAT_INSTANCE, MATCHER])
def test_inputs_warm_ups_and_cuda_graphs_take_the_image_that_was_exported(
    trained, repository, card, model, target
):
    old, new = (str(list(spec.shape))[1:-1] for spec in (newest(repository).spec(), RASTER))
    path = path_of(repository, model, target)
    before = path.read_text().count(old)
    assert before >= 2
    export(trained, repository, card)
    assert (path.read_text().count(old), path.read_text().count(new)) == (0, before)


def test_the_known_inputs_are_answered_as_the_parameters_say(trained, repository, card):
    export(trained, repository, card)
    graphs = OnnxEmbedder(repository)
    probe = json.loads(parameters(path_of(repository, IMAGE_ENCODER, "cpu"), 1)["probe"])
    check_probe(IMAGE_ENCODER, graphs.images(probe_image(RASTER.shape)), probe)


def test_what_operators_read_in_a_configuration_stays(trained, repository, card):
    before = {path: comments(path) for path in repository.glob("*/configs/*.pbtxt")}
    export(trained, repository, card)
    assert {path: comments(path) for path in before} == before


def test_statements_come_with_their_curves_and_concepts(trained, repository, card):
    version = export(trained, repository, card)
    calibration = load_calibration(newest(repository).statements)
    assert calibration
    assert calibration.model_version == version
    assert calibration.match_weight == 0.25
    first = calibration.statements[0]
    assert (first.code, first.prompt, first.slope) == ("AFIB", "words of AFIB", 120.0)
    assert first.snomed_code == "164889003"


def test_an_exported_report_vector_has_its_statements_on_the_axes_that_the_file_names(
    trained, repository, card
):
    export(trained, repository, replace(card, agreement=agreement_of(CODES, SMALL.embedding)))
    calibration = load_calibration(newest(repository).statements)
    assert calibration is not None and calibration.agreement is not None
    assert 0.0 < calibration.agreement.weight < 0.1
    assert 0.0 < calibration.agreement.commonness_weight < 0.1 * calibration.agreement.weight
    found = stated(OnnxEmbedder(repository).texts(TEXTS), calibration.agreement, CODES)
    log_odds, _, _ = trained.text.read(torch.from_numpy(token_ids(trained.tokenizer, TEXTS)))
    np.testing.assert_allclose(found, torch.sigmoid(log_odds).detach().numpy(), atol=1e-3)


def test_the_card_tells_use_data_figures_and_recipe(trained, repository, card):
    export(trained, repository, card)
    page = newest(repository).page.read_text()
    for words in (
        "RESEARCH USE ONLY",
        "Made-up ECGs.",
        "1.0 (0.5 to 1.5)",
        "0.800 (0.700 to 0.900)",
    ):
        assert words in page
    fields = json.loads(newest(repository).card.read_bytes())
    assert fields["use"] == "RESEARCH USE ONLY"
    assert fields["recipe"]["image"]["plan"]["epochs"] == trained.recipe.image.plan.epochs


def test_another_training_is_another_version(trained, repository, card):
    before = export(trained, repository, card)
    with torch.no_grad():
        trained.image.members[1].cls += 1.0
    assert export(trained, repository, card) != before


def test_a_matcher_of_another_model_does_not_stay(trained, repository, card):
    alone = replace(trained, matcher=None)
    with pytest.raises(CardexError, match=r"no \[matcher\].*remove that folder"):
        export(alone, repository, card)
    shutil.rmtree(repository / MATCHER)
    export(alone, repository, card)
    assert OnnxEmbedder(repository).texts(TEXTS).shape == (3, SMALL.embedding)


def test_a_recipe_that_the_service_cannot_follow_is_refused(trained, repository, card):
    text = structs.replace(trained.recipe.text, clean=True)
    cleaning = replace(trained, recipe=structs.replace(trained.recipe, text=text))
    with pytest.raises(CardexError, match=r"text\.clean"):
        export(cleaning, repository, card)


def test_a_recipe_of_two_images_is_refused(trained, repository, card):
    second = SecondImage({"layout": "simple-plot"}, patch=16)
    both = replace(trained, recipe=structs.replace(trained.recipe, second_image=second))
    with pytest.raises(CardexError, match="second_image: the service draws one image"):
        export(both, repository, card)


def test_a_graph_that_differs_is_refused(trained, repository, card, monkeypatch):
    monkeypatch.setattr("cardex.training.export.PARITY", -1.0)
    with pytest.raises(CardexError, match="ecg_image_encoder: ONNX Runtime differs"):
        export(trained, repository, card)


def test_a_matcher_is_held_to_the_precision_of_its_logits(trained, repository, card, monkeypatch):
    monkeypatch.setattr("cardex.training.export.MATCH_PARITY", -1.0)
    with pytest.raises(CardexError, match="ecg_report_matcher: ONNX Runtime differs"):
        export(trained, repository, card)


def test_a_configuration_that_takes_no_image_is_named(trained, repository, card):
    config = repository / IMAGE_ENCODER / "configs" / "cpu.pbtxt"
    config.write_text(config.read_text().replace('"image"', '"picture"'))
    with pytest.raises(
        CardexError, match=r"ecg_image_encoder/configs/cpu\.pbtxt.*dims of the image"
    ):
        export(trained, repository, card)


def test_parameters_that_a_configuration_lacks_are_added(trained, repository, card):
    for config in repository.glob("*/configs/*.pbtxt"):
        remove_parameters(config, 1)
    version = export(trained, repository, card)
    for config in repository.glob("*/configs/*.pbtxt"):
        assert parameters(config, 1)["model_version"] == version


def test_a_level_without_enough_ecgs_has_no_row():
    assert "| rhythm |" not in cards.page("v", Card(KINDS, {}, 0.0, FIGURES, ""))
