from dataclasses import replace

import numpy as np
import pytest
import torch

from cardex.domain.errors import CardexError
from cardex.evaluation.embeddings import join_images
from cardex.signals.image_spec import ImageSpec
from cardex.signals.images import draw
from cardex.training.blocks import PRESETS
from cardex.training.image_encoder import ImageEncoder, PixelReader, TwoImageVit, Vit
from cardex.training.space import PRIOR_SHARE, ecg_embedding
from tests.training.conftest import RASTER, SMALL

CODES = 5


def pixels(count, spec=RASTER):
    return torch.randint(0, 256, (count, *spec.shape), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("spec", "patch"),
    [
        (RASTER, 0),
        (ImageSpec(layout="raster", window_s=1.37), 0),
        (ImageSpec(layout="raster", window_s=10.0), 0),
        (ImageSpec(layout="raster", scaling="deviation", window_s=3.0, amplitude=True), 0),
        (ImageSpec(tile=16, window_s=2.0), 16),
        (ImageSpec(layout="all-concat", tile=32, encodings=("gadf", "rp")), 8),
    ],
)
def test_every_image_becomes_unit_vectors(spec, patch):
    vit = Vit(SMALL, spec, patch, CODES)
    encoder = ImageEncoder([vit], torch.zeros(CODES), prototypes=3).eval()
    images = pixels(2, spec)
    embedding = encoder(images)
    assert embedding.shape == (2, SMALL.embedding)
    torch.testing.assert_close(embedding.norm(dim=-1), torch.ones(2))
    torch.testing.assert_close(embedding[1:], encoder(images[1:]), atol=1e-5, rtol=0)


MARKED = ImageSpec(layout="raster", scaling="deviation", window_s=2.0, amplitude=True)


def test_marks_give_the_shape_in_millivolts_again():
    random = np.random.default_rng(0)
    windows = random.standard_normal((4, 12, 200)).astype(np.float32)
    windows *= random.uniform(0.02, 0.5, (4, 12, 1)).astype(np.float32)
    windows -= windows.mean(axis=-1, keepdims=True)
    known = np.array([True, True, False, True])
    images = torch.from_numpy(draw(windows, MARKED, known)).float()
    values = PixelReader(MARKED)(images).numpy()
    assert values.shape == (4, *PixelReader(MARKED).shape) == (4, 12, 200, 2)
    assert not values[:, :, -1].any()
    assert not values[2, ..., 1].any()
    deviation = windows.std(axis=-1, keepdims=True)
    wrong = np.abs(values[known, :, :-1, 1] - windows[known, :, :-1] / MARKED.full_scale_mv)
    # half a step of the mark, and half a step of a pixel
    assert (wrong <= (0.015 * np.abs(windows) + 0.04 * deviation)[known, :, :-1]).all()
    plain = PixelReader(replace(MARKED, amplitude=False))(images).numpy()
    np.testing.assert_array_equal(values[..., :-1, 0], plain[..., :-1, 0])


def test_shape_and_marks_of_a_raster_are_seen():
    vit = Vit(SMALL, MARKED, 0, CODES).eval()
    images = pixels(1, MARKED)
    for part in (slice(None, -1), slice(-1, None)):
        other = images.clone()
        other[:, :, part] = 60
        assert not torch.allclose(
            vit.tokens(vit.values(other)), vit.tokens(vit.values(images)), atol=1e-4
        )


def test_a_share_of_what_is_usual_is_taken_off():
    prior = torch.tensor([2.0, -2.0, 0.0, 0.0, 0.0])
    encoder = ImageEncoder([Vit(SMALL, RASTER, 0, CODES)], prior).eval()
    images = pixels(2)
    log_odds, wording = encoder.read(images)
    torch.testing.assert_close(
        encoder(images), ecg_embedding(log_odds - PRIOR_SHARE * prior, wording, torch.zeros(2))
    )


def test_members_are_averaged():
    members = [Vit(SMALL, RASTER, 0, CODES).eval() for _ in range(3)]
    images = pixels(2)
    log_odds, wording = ImageEncoder(members, torch.zeros(CODES)).read(images)
    found = [member.read(member.values(images)) for member in members]
    torch.testing.assert_close(log_odds, sum(odds for odds, _ in found) / 3)
    mean = sum(words for _, words in found)
    torch.testing.assert_close(wording, mean / mean.norm(dim=-1, keepdim=True))


def test_an_encoder_of_two_images_sees_both_each_with_its_own_stem_and_positions():
    grid = ImageSpec(tile=16, window_s=2.0)
    vit = TwoImageVit(SMALL, (RASTER, grid), (0, 16), CODES).eval()
    first, second = pixels(3), pixels(3, grid)

    def tokens(*images):
        flat = torch.from_numpy(join_images([image.numpy() for image in images]))
        return vit.tokens(vit.values(flat))

    found = tokens(first, second)
    assert found.shape == (3, 1 + 7 + 12, SMALL.width)
    for other in (tokens(first.flip(0), second), tokens(first, second.flip(0))):
        assert float((other - found).detach().abs()[0].min()) > 0.0  # all tokens attend to both
    flat = torch.from_numpy(join_images([first.numpy(), second.numpy()]))
    alone = Vit.embed(vit, Vit.values(vit, first))
    torch.testing.assert_close(vit.embed(vit.values(flat))[:, :8], alone)
    alike = vit.embed(vit.values(torch.full_like(flat, 128)))[:, 8:]
    assert not torch.allclose(alike[:, 0], alike[:, 1])  # patches of one content, two positions


def test_patches_that_do_not_fill_the_image_are_refused():
    with pytest.raises(CardexError, match=r"patch 16 does not fill an image of 12 x 200"):
        Vit(SMALL, RASTER, 16, CODES)


def test_the_largest_preset_is_the_papers():
    with torch.device("meta"):
        encoder = Vit(PRESETS["base"], ImageSpec(tile=96, columns=4, size=384), 16, CODES)
    blocks = sum(p.numel() for p in encoder.blocks.parameters())
    assert round(blocks / 1e6) == 85  # ViT-B (Dosovitskiy 2021) has 86 M with stem and head
    assert encoder.position.shape == (1, 24 * 24 + 1, 768)
