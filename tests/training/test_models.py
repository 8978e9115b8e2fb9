import numpy as np
import pytest
import torch

from services.signals.spec import ImageSpec
from services.training.models import (
    REPORT_LENGTH,
    WORDING_WEIGHT,
    ImageEncoder,
    TextEncoder,
    ecg_embedding,
    report_embedding,
)
from tests.training.conftest import RASTER, SMALL

CODES = 5


def units(count: int, size: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(count, size), dim=-1)


def test_the_cosine_orders_reports_as_statements_and_wording_together_do():
    log_odds, wording = torch.randn(7, CODES), units(7, 20)
    probabilities, other = torch.rand(50, CODES), units(50, 20)
    cosine = ecg_embedding(log_odds, wording) @ report_embedding(probabilities, other).T
    wanted = log_odds @ probabilities.T + WORDING_WEIGHT * wording @ other.T
    length = torch.sqrt(log_odds.square().sum(-1) + WORDING_WEIGHT**2) * REPORT_LENGTH**0.5
    torch.testing.assert_close(cosine, wanted / length[:, None])
    assert torch.equal(cosine.argsort(dim=1), wanted.argsort(dim=1))


def test_embeddings_are_unit_vectors_of_one_size():
    ecg = ecg_embedding(torch.randn(3, CODES), units(3, 20))
    report = report_embedding(torch.ones(3, CODES), units(3, 20))
    assert ecg.shape == report.shape == (3, CODES + 20 + 1)
    for embedding in (ecg, report):
        torch.testing.assert_close(embedding.norm(dim=-1), torch.ones(3))


@pytest.mark.parametrize(
    ("spec", "patch"),
    [
        (RASTER, 0),
        (ImageSpec(layout="raster", window_s=1.37), 0),
        (ImageSpec(layout="raster", window_s=10.0), 0),
        (ImageSpec(tile=16, window_s=2.0), 16),
        (ImageSpec(layout="all-concat", tile=32, encodings=("gadf", "rp")), 8),
    ],
)
def test_every_image_becomes_unit_vectors(spec, patch):
    encoder = ImageEncoder(SMALL, spec.shape, patch, torch.zeros(CODES)).eval()
    images = torch.randint(0, 256, (2, *spec.shape), dtype=torch.uint8)
    embedding = encoder(images)
    assert embedding.shape == (2, SMALL.embedding)
    torch.testing.assert_close(embedding.norm(dim=-1), torch.ones(2))
    alone = encoder(images[1:])
    torch.testing.assert_close(embedding[1:], alone, atol=1e-5, rtol=0)


def test_half_of_what_is_usual_is_taken_off():
    prior = torch.tensor([2.0, -2.0, 0.0, 0.0, 0.0])
    encoder = ImageEncoder(SMALL, RASTER.shape, 0, prior).eval()
    images = torch.randint(0, 256, (2, *RASTER.shape), dtype=torch.uint8)
    log_odds, wording = encoder.read(images)
    torch.testing.assert_close(encoder(images), ecg_embedding(log_odds - prior / 2, wording))


def test_padding_does_not_change_a_report():
    encoder = TextEncoder(SMALL, vocabulary=50, length=16, statements=CODES).eval()
    ids = torch.zeros((1, 16), dtype=torch.int32)
    ids[0, :5] = torch.tensor([2, 10, 11, 12, 3])
    with torch.no_grad():
        plain = encoder(ids)
        encoder.embed.weight[0] += 1.0
        torch.testing.assert_close(encoder(ids), plain)


def test_the_order_of_words_matters():
    encoder = TextEncoder(SMALL, vocabulary=50, length=8, statements=CODES).eval()
    first = torch.tensor([[2, 10, 11, 3, 0, 0, 0, 0]], dtype=torch.int32)
    second = torch.tensor([[2, 11, 10, 3, 0, 0, 0, 0]], dtype=torch.int32)
    assert np.abs((encoder(first) - encoder(second)).detach().numpy()).max() > 1e-6
