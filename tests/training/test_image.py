import numpy as np
import pytest
import torch

from services.domain.errors import CardexError
from services.training.image import ImageTower, augment, read_images, train_image
from services.training.metrics import macro_auroc
from services.training.schedule import Trainer
from tests.training.conftest import RASTER, SMALL

BANK = torch.eye(2, SMALL.embedding - 2 - 1)


def test_an_encoder_learns_to_tell_fast_from_slow(signals):
    fast = (np.arange(len(signals)) % 2).astype(np.int64)
    statements = np.stack([fast, 1 - fast], axis=1).astype(np.float32)
    tower = train_image(signals, statements, fast, BANK, RASTER, SMALL, epochs=30)
    embeddings, log_odds = read_images(tower.encoder, signals, RASTER)
    assert macro_auroc(log_odds.numpy(), statements > 0.5) > 0.95
    assert embeddings.shape == (len(signals), SMALL.embedding)


def test_training_twice_gives_the_same_encoder(signals):
    own, statements = np.zeros(160, np.int64), np.ones((160, 2), np.float32)
    results = []
    for _ in range(2):
        torch.manual_seed(7)
        tower = train_image(signals, statements, own, BANK, RASTER, SMALL, epochs=1)
        results.append(read_images(tower.encoder, signals[:3], RASTER)[0])
    torch.testing.assert_close(*results, atol=0, rtol=0)


def test_augmentation_varies_every_ecg_and_leaves_the_originals_alone(signals):
    random = np.random.default_rng(0)
    before = signals.copy()
    rounds = [augment(signals, RASTER, random) for _ in range(5)]
    np.testing.assert_array_equal(signals, before)
    for windows in rounds:
        assert windows.shape == signals.shape
        assert np.isfinite(windows).all()
        dropped = (windows == 0.0).all(axis=-1).mean()
        assert 0.03 < dropped < 0.07
    assert not np.array_equal(rounds[0], rounds[1])


def test_a_loss_that_is_not_finite_stops_with_the_remedy():
    tower = ImageTower(SMALL, RASTER, torch.zeros(2))
    trainer = Trainer(tower, rate=1e-3, epochs=1, batch=2, samples=4)
    with pytest.raises(CardexError, match="not finite"):
        trainer.step(torch.tensor(float("nan"), requires_grad=True))
