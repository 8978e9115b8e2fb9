import msgspec
import numpy as np
import pytest
import torch

from cardex.evaluation.metrics import aurocs
from cardex.signals.images import draw, windows_of
from cardex.training.image_encoder import ImageEncoder
from cardex.training.matcher import Matcher
from cardex.training.matching import MatcherTower, fused_losses, trimmed
from cardex.training.run import ImageStage
from cardex.training.trainer import Plan
from tests.training.conftest import RASTER


@pytest.fixture
def stage(reports, ecgs, recipe, context):
    matcher = msgspec.structs.replace(recipe.matcher, plan=Plan(epochs=12, batch=16))
    return ImageStage(reports, ecgs, msgspec.structs.replace(recipe, matcher=matcher), context)


@pytest.fixture
def untrained(stage, reports) -> Matcher:
    return Matcher(ImageEncoder([stage.new_vit(0)], stage.prior), reports.encoder)


def test_it_learns_to_tell_true_pairs_from_false(stage, reports, ecgs):
    matcher = stage.train_matcher(*stage.train_encoder())
    unseen = [row for row, record in enumerate(ecgs.records) if record.fold == 9]
    images = torch.from_numpy(draw(windows_of(ecgs.signals[unseen], RASTER), RASTER))
    ids = torch.from_numpy(reports.ids)
    with torch.no_grad():
        scores = matcher(images, ids.expand(len(images), -1, -1)).numpy()
    fast = np.array(["FAST" in ecgs.records[row].codes for row in unseen])
    tachy = np.array(["tachy" in text for text in reports.corpus.texts])
    true = fast[:, None] == tachy[None]
    assert aurocs(scores.reshape(-1, 1), true.reshape(-1, 1))[0] > 0.95


def test_only_the_matcher_learns(untrained, stage, reports):
    tower = MatcherTower(
        untrained, stage.own, reports.bank, torch.from_numpy(reports.ids), language=0.1
    ).train()
    pixels = torch.randint(0, 256, (4, *RASTER.shape), dtype=torch.uint8)
    before = {name: value.clone() for name, value in untrained.image.state_dict().items()}
    sum(tower(pixels, torch.arange(4), torch.arange(4), torch.ones(1)).values()).backward()
    assert untrained.match.weight.grad.abs().sum() > 0
    assert untrained.language.weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in untrained.image.parameters())
    for name, value in untrained.image.state_dict().items():
        assert torch.equal(value, before[name])  # its batch statistics too


@pytest.mark.parametrize("count", [2, 4, 6])
def test_negatives_are_other_reports_also_of_a_small_bank(count, untrained, reports):
    own = torch.arange(40) % count
    bank, ids = reports.bank[:count], torch.from_numpy(reports.ids[:count])
    tower = MatcherTower(untrained, own, bank, ids, language=0.1)
    drawn = tower._negatives(torch.randn(40, count), own)
    assert drawn.shape == (40, min(5, count - 1))
    assert (drawn != own[:, None]).all()
    assert all(len(set(row)) == len(row) for row in drawn.tolist())


def test_a_batch_of_one_report_has_no_negatives_and_still_a_loss(untrained, reports):
    ids = torch.from_numpy(reports.ids)[:1].expand(3, -1)
    tokens = untrained.image.tokens(torch.zeros(3, *RASTER.shape))
    found = fused_losses(untrained, tokens, ids, torch.zeros(3, dtype=torch.int64), torch.eye(3))
    assert set(found) == {"matching", "language"}
    assert all(torch.isfinite(value) for value in found.values())


def test_what_all_pad_is_cut():
    ids = torch.tensor([[2, 7, 3, 0, 0], [2, 3, 0, 0, 0]])
    assert torch.equal(trimmed(ids), ids[:, :3])
    assert trimmed(torch.zeros(2, 5)).shape == (2, 1)
