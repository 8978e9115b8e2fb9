import msgspec
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cardex.training.pretraining import contrast_of_views, prepare_views
from cardex.training.recipe import Augmentation
from cardex.training.recordings import Recordings
from cardex.training.run import ImageStage
from cardex.training.trainer import Batch, Plan
from tests.training.conftest import RASTER


def test_the_loss_is_small_where_the_two_views_are_alike_and_others_are_not():
    views = F.normalize(torch.eye(8), dim=-1)
    alike = contrast_of_views(torch.cat([views, views]), 0.1)
    assert float(alike) == pytest.approx(np.log(1 + 14 * np.exp(-10)), rel=1e-3)
    shifted = contrast_of_views(torch.cat([views, views.roll(1, dims=0)]), 0.1)
    assert float(shifted) > 10.0


def test_each_ecg_gives_two_different_views(signals):
    own = Recordings.whole(signals, np.ones(len(signals), dtype=bool), RASTER)
    batch = Batch(np.arange(6), np.random.default_rng(0))
    first, second = prepare_views([own], Augmentation(), batch)
    assert first.shape == second.shape == (6, *RASTER.shape)
    assert all(not torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_a_pretrained_encoder_begins_elsewhere_and_repeats(reports, ecgs, recipe, context):
    image = msgspec.structs.replace(recipe.image, pretraining=Plan(epochs=2, batch=16))
    pretrained = msgspec.structs.replace(recipe, image=image)
    plain, plain_key = ImageStage(reports, ecgs, recipe, context).train_vit("x", 0)
    found, key = ImageStage(reports, ecgs, pretrained, context).train_vit("x", 0)
    again, _ = ImageStage(reports, ecgs, pretrained, context).train_vit("x", 0)
    assert key != plain_key
    assert not torch.equal(found.position, plain.position)
    assert torch.equal(found.position, again.position)
    assert list(context.work.glob("pretrained-*.pt"))
