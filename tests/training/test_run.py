from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch

from cardex.domain.errors import CardexError
from cardex.evaluation.embeddings import embed_ecgs
from cardex.evaluation.metrics import aurocs
from cardex.signals.images import draw, windows_of
from cardex.training.distributed import DistributedContext
from cardex.training.embedder import TorchEmbedder
from cardex.training.recipe import Losses, SecondImage
from cardex.training.run import (
    ImageStage,
    member_seed,
    teacher_seed,
    train,
    train_calibration_model,
)
from cardex.training.stage import hash_parts
from cardex.training.text_stage import Reports
from cardex.training.trainer import Plan, Stopped
from tests.training.conftest import DESCRIPTIONS, RASTER, SMALL


def with_losses(recipe, **weights):
    plan = Plan(epochs=3, batch=16)
    image = msgspec.structs.replace(recipe.image, plan=plan, losses=Losses(**weights))
    return msgspec.structs.replace(recipe, image=image, matcher=None)


def weights_of(module):
    return torch.cat([value.flatten().float() for value in module.state_dict().values()])


@torch.inference_mode()
def embeddings_of(encoder, signals):
    """Embed (ECGs, 12, samples) signals: (ECGs, E)."""
    images = draw(windows_of(signals, RASTER), RASTER)
    return encoder.cpu().eval()(torch.from_numpy(images)).numpy()


def test_the_whole_recipe_tells_fast_from_slow(reports, ecgs, recipe, context):
    longer = Plan(epochs=25, batch=16)
    image = msgspec.structs.replace(recipe.image, teachers=2, plan=longer, study=longer)
    trained = train(reports, ecgs, msgspec.structs.replace(recipe, image=image), context)
    embedder = TorchEmbedder(trained, DistributedContext())
    embeddings = embeddings_of(trained.image, ecgs.signals)
    prompts = embedder.texts([DESCRIPTIONS["FAST"], DESCRIPTIONS["SLOW"]])
    fast = np.array(["FAST" in record.codes for record in ecgs.records])
    scores = embeddings @ prompts.T
    assert aurocs(scores, np.stack([fast, ~fast], axis=1)).min() > 0.95
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-5)
    assert trained.matcher is not None


@pytest.mark.parametrize(
    "weights",
    [
        {"words": 0.3},
        {"soft": 0.4},
        {"score": 0.02, "reverse": 0.02, "contrast": 0.0},
        {"label_aware": 0.3},
        {"transport": 0.1},
        {"matching": 0.02, "language": 0.02},
        {"statements": 0.0},
        {"contrast": 0.0},
    ],
)
def test_every_loss_trains_and_repeats(weights, reports, ecgs, recipe, context):
    recipe = with_losses(recipe, **weights)
    results = []
    for number in range(2):
        own = replace(context, work=context.work / str(number))
        encoder, _ = ImageStage(reports, ecgs, recipe, own).train_vit("image", 3)
        results.append(weights_of(encoder))
    assert torch.isfinite(results[0]).all()
    torch.testing.assert_close(*results, atol=0, rtol=0)
    other, _ = ImageStage(reports, ecgs, recipe, context).train_vit("image", 4)
    assert not torch.equal(weights_of(other), results[0])


@pytest.mark.parametrize(("silent", "statements"), [("statements", True), ("contrast", False)])
def test_axes_without_a_loss_stay_silent(silent, statements, reports, ecgs, recipe, context):
    vit, _ = ImageStage(reports, ecgs, with_losses(recipe, **{silent: 0.0}), context).train_vit(
        "x", 0
    )
    images = torch.from_numpy(draw(windows_of(ecgs.signals[:4], RASTER), RASTER))
    vit.cpu().eval()
    log_odds, wording = vit.read(vit.values(images))
    assert not (log_odds if statements else wording).any()


@pytest.mark.parametrize("teachers", [0, 1])
def test_every_stage_that_is_stopped_goes_on_to_the_same_result(
    teachers, corpus, ecgs, recipe, context
):
    image = msgspec.structs.replace(recipe.image, teachers=teachers)
    recipe = msgspec.structs.replace(recipe, image=image)

    def outcome(where):
        return train(Reports(corpus, DESCRIPTIONS, recipe, where), ecgs, recipe, where)

    whole = outcome(replace(context, work=context.work / "whole"))
    part = replace(context, work=context.work / "part", stop_after=7)
    stops = 0
    for _ in range(100):
        try:
            pieces = outcome(part)
            break
        except Stopped:
            stops += 1
    assert stops > 3
    for model in ("text", "image", "matcher"):
        torch.testing.assert_close(
            weights_of(getattr(whole, model)), weights_of(getattr(pieces, model)), atol=0, rtol=0
        )


def test_a_finished_stage_is_not_trained_again(corpus, recipe, context, reports, monkeypatch):
    monkeypatch.setattr("cardex.training.stage.Trainer", None)
    again = Reports(corpus, DESCRIPTIONS, recipe, context)
    torch.testing.assert_close(weights_of(again.encoder), weights_of(reports.encoder))


def test_a_stage_that_another_training_has_in_hand_is_awaited(
    corpus, recipe, context, reports, monkeypatch
):
    (stage,) = context.work.glob("text-*.pt")
    hidden = stage.rename(stage.with_suffix(".hidden"))
    monkeypatch.setattr("cardex.training.stage.fcntl.flock", lambda *_: hidden.rename(stage))
    monkeypatch.setattr("cardex.training.stage.Trainer", None)
    again = Reports(corpus, DESCRIPTIONS, recipe, context)
    torch.testing.assert_close(weights_of(again.encoder), weights_of(reports.encoder))
    assert not list(context.work.glob("*.lock"))


def test_a_damaged_stage_is_named_with_the_remedy(corpus, recipe, context, reports):
    (stage,) = context.work.glob("text-*.pt")
    stage.write_bytes(stage.read_bytes()[:1000])
    with pytest.raises(CardexError, match=r"text-.*\.pt is damaged .*delete it"):
        Reports(corpus, DESCRIPTIONS, recipe, context)


def test_the_calibration_model_has_not_seen_the_calibration_fold(reports, ecgs, recipe, context):
    encoder, _ = train_calibration_model(reports, ecgs, recipe, context)
    others = replace(
        ecgs, signals=np.where(
            np.array([r.fold == 8 for r in ecgs.records])[:, None, None], 0.0, ecgs.signals
        ).astype(np.float32),
    )  # fmt: skip
    again, _ = train_calibration_model(
        reports, others, recipe, replace(context, work=context.work / "again")
    )
    torch.testing.assert_close(weights_of(encoder), weights_of(again), atol=0, rtol=0)


def test_an_encoder_of_two_images_is_trained_measured_and_begun_anew_for_another(
    reports, ecgs, recipe, context
):
    beat = {"layout": "simple-plot", "source": "beat", "window_s": 0.3, "tile": 30}
    both = msgspec.structs.replace(recipe, second_image=SecondImage(beat, patch=30))
    trained = train(reports, ecgs, both, context)
    found = embed_ecgs(TorchEmbedder(trained, DistributedContext()), ecgs)
    assert found.shape == (len(ecgs.records), SMALL.embedding)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)
    coarse = msgspec.structs.replace(both, second_image=SecondImage(beat | {"bins": 4}, patch=30))
    keys = {
        ImageStage(reports, ecgs, one, context).train_vit("image", 0)[1]
        for one in (recipe, both, coarse)
    }
    assert len(keys) == 3


def test_a_matcher_belongs_to_the_voltages_and_prototypes_of_its_encoder(
    reports, ecgs, recipe, context
):
    """A stage of another encoder would not load, or would be of other hard negatives."""
    marked = msgspec.structs.replace(recipe, image_spec=recipe.image_spec | {"amplitude": True})

    def matchers(**changes):
        image = msgspec.structs.replace(marked.image, plan=Plan(epochs=1, batch=16), **changes)
        train(reports, ecgs, msgspec.structs.replace(marked, image=image), context)
        return set(context.work.glob("matcher-*.pt"))

    found = matchers(voltages=0.25)
    one = {"voltages": 0.25, "voltages_of": {"SLOW": 1.0}}
    for changes in ({"voltages": 0.5}, {"voltages": 0.0}, {"prototypes": 16}, one):
        more = matchers(**changes)
        assert len(more) == len(found) + 1
        found = more
    assert matchers(voltages=0.25) == found
    assert len(list(context.work.glob("image-*.pt"))) == 1


def test_a_statement_has_its_own_weight_of_the_voltages(reports, ecgs, recipe, context):
    marked = msgspec.structs.replace(recipe, image_spec=recipe.image_spec | {"amplitude": True})

    def weights(**changes):
        image = msgspec.structs.replace(marked.image, plan=Plan(epochs=1, batch=16), **changes)
        stage = ImageStage(reports, ecgs, msgspec.structs.replace(marked, image=image), context)
        voltages = stage.train_encoder()[0].voltages
        assert voltages is not None
        return dict(zip(reports.corpus.codes, voltages.weights, strict=True))

    whole, own = weights(voltages=1.0), weights(voltages=0.25, voltages_of={"SLOW": 0.5})
    assert whole["FAST"].any() and whole["SLOW"].any()
    torch.testing.assert_close(own["FAST"], 0.25 * whole["FAST"])
    torch.testing.assert_close(own["SLOW"], 0.5 * whole["SLOW"])


def test_the_usual_ways_to_join_members_are_not_part_of_a_matcher_s_key(
    reports, ecgs, recipe, context
):
    stage = ImageStage(reports, ecgs, recipe, context)
    image, key = stage.train_encoder()
    stage.train_matcher(image, key)
    named = hash_parts(key, msgspec.json.encode(recipe.matcher))
    assert [path.stem for path in context.work.glob("matcher-*.pt")] == [f"matcher-{named}"]


def test_no_two_members_share_a_teacher_and_no_two_encoders_a_member():
    members = [member_seed(seed, place) for seed in range(9) for place in range(10)]
    teachers = [teacher_seed(member, number) for member in members for number in range(10)]
    assert len({*members, *teachers}) == len(members) + len(teachers)
