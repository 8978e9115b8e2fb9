import numpy as np
import pytest
import torch

from cardex.domain.errors import CardexError
from cardex.signals.image_spec import ImageSpec
from cardex.training.matcher import Matcher
from cardex.training.models import (
    ECG_LENGTH,
    PRESETS,
    PRIOR_SHARE,
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


def test_the_cosine_orders_as_statements_and_wording_together_do_both_ways():
    log_odds, wording = torch.randn(7, CODES), units(7, 20)
    probabilities, other = torch.rand(50, CODES), units(50, 20)
    cosine = ecg_embedding(log_odds, wording) @ report_embedding(probabilities, other).T
    wanted = log_odds @ probabilities.T + WORDING_WEIGHT * wording @ other.T
    torch.testing.assert_close(cosine, wanted / (ECG_LENGTH * REPORT_LENGTH) ** 0.5)
    assert torch.equal(cosine.argsort(dim=1), wanted.argsort(dim=1))
    assert torch.equal(cosine.argsort(dim=0), wanted.argsort(dim=0))


def test_embeddings_are_unit_vectors_of_one_size():
    for scale in (1.0, 30.0):  # the second is longer than the length that the filling makes up
        ecg = ecg_embedding(scale * torch.randn(3, CODES), units(3, 20))
        report = report_embedding(torch.ones(3, CODES), units(3, 20))
        assert ecg.shape == report.shape == (3, CODES + 20 + 2)
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


def test_a_share_of_what_is_usual_is_taken_off():
    prior = torch.tensor([2.0, -2.0, 0.0, 0.0, 0.0])
    encoder = ImageEncoder(SMALL, RASTER.shape, 0, prior).eval()
    images = torch.randint(0, 256, (2, *RASTER.shape), dtype=torch.uint8)
    log_odds, wording = encoder.read(images)
    torch.testing.assert_close(
        encoder(images), ecg_embedding(log_odds - PRIOR_SHARE * prior, wording)
    )


def test_patches_that_do_not_fill_the_image_are_refused():
    with pytest.raises(CardexError, match=r"patch 16 does not fill an image of 12 x 200"):
        ImageEncoder(SMALL, RASTER.shape, 16, torch.zeros(CODES))


def test_channels_without_patches_and_an_embedding_without_room_are_refused():
    with pytest.raises(CardexError, match="3 channels is no raster"):
        ImageEncoder(SMALL, (48, 48, 3), 0, torch.zeros(CODES))
    with pytest.raises(CardexError, match="embedding of 64 has no room for 62 statements"):
        ImageEncoder(SMALL, RASTER.shape, 0, torch.zeros(SMALL.embedding - 2))


def test_the_largest_preset_is_the_papers():
    with torch.device("meta"):
        encoder = ImageEncoder(PRESETS["base"], (384, 384, 3), 16, torch.zeros(CODES))
    blocks = sum(p.numel() for p in encoder.blocks.parameters())
    assert round(blocks / 1e6) == 85  # ViT-B (Dosovitskiy 2021) has 86 M with stem and head
    assert encoder.position.shape == (1, 24 * 24 + 1, 768)


def test_a_new_matcher_reads_as_the_report_encoder_does_and_then_sees_the_image():
    image = ImageEncoder(SMALL, RASTER.shape, 0, torch.zeros(CODES)).eval()
    text = TextEncoder(SMALL, vocabulary=50, length=16, statements=CODES).eval()
    matcher = Matcher(image, text, SMALL).eval()
    ids = torch.randint(5, 50, (2, 3, 16), dtype=torch.int32)
    pixels = torch.randint(0, 256, (2, *RASTER.shape), dtype=torch.uint8)
    seen = matcher.bridge(image.tokens(pixels))
    torch.testing.assert_close(matcher.fuse(seen, ids[:, 0]), matcher.norm(text.tokens(ids[:, 0])))
    for block in matcher.blocks:
        torch.nn.init.normal_(block.out.weight)
    scores = matcher(pixels, ids)
    assert scores.shape == (2, 3)
    torch.testing.assert_close(scores[1, 2:], matcher.score(seen[1:], ids[1, 2:]))
    assert not torch.allclose(matcher(pixels.flip(0), ids), scores)


def test_padding_does_not_change_a_report():
    encoder = TextEncoder(SMALL, vocabulary=50, length=16, statements=CODES).eval()
    ids = torch.zeros((1, 16), dtype=torch.int32)
    ids[0, :5] = torch.tensor([2, 10, 11, 12, 3])
    with torch.no_grad():
        plain = encoder(ids)
        torch.testing.assert_close(encoder(ids[:, :5]), plain)
        encoder.embed.weight[0] += 1.0
        torch.testing.assert_close(encoder(ids), plain)


def test_the_order_of_words_matters():
    encoder = TextEncoder(SMALL, vocabulary=50, length=8, statements=CODES).eval()
    first = torch.tensor([[2, 10, 11, 3, 0, 0, 0, 0]], dtype=torch.int32)
    second = torch.tensor([[2, 11, 10, 3, 0, 0, 0, 0]], dtype=torch.int32)
    assert np.abs((encoder(first) - encoder(second)).detach().numpy()).max() > 1e-6
