"""Every recipe of experiments/ is read, and its image encoder trains for one step."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from cardex.evaluation.ecgs import Ecgs
from cardex.evaluation.embeddings import images_of
from cardex.reports.ptbxl import Record
from cardex.training.image import ImageTower, ReportTargets, new_vit, prepare_images
from cardex.training.image_encoder import ImageEncoder
from cardex.training.recipe import Recipe, read_recipe
from cardex.training.recordings import Recordings
from cardex.training.text_encoder import TextEncoder
from cardex.training.tokens import LENGTH
from cardex.training.trainer import Batch
from tests.training.conftest import SMALL

FILES = sorted((Path(__file__).parents[2] / "experiments").rglob("[a-z]*.toml"))  # no bases
ENCODINGS = [file for file in FILES if file.parent.name == "encodings"]
CODES, TEXTS, TERMS, PIECES = 5, 4, 7, 30


@pytest.fixture(scope="module")
def few() -> Ecgs:
    """Six made-up ECGs of ten seconds, 70 to 120 beats a minute."""
    random, times = np.random.default_rng(0), np.arange(1000) / 100.0
    signals = [
        np.exp(-0.5 * ((times * pace / 60 % 1.0 - 0.5) / 0.03) ** 2)
        * random.normal(1, 0.3, (12, 1))
        for pace in range(70, 130, 10)
    ]
    records = [Record(number, number, 1, "x", {}, "") for number in range(len(signals))]
    return Ecgs(records, np.array(signals, dtype=np.float32), np.ones(len(signals), dtype=bool))


@pytest.fixture(scope="module")
def targets() -> ReportTargets:
    wording = torch.nn.functional.normalize(torch.randn(TEXTS, SMALL.embedding - CODES - 4), dim=-1)
    statements = torch.rand(TEXTS, CODES)
    return ReportTargets(
        statements=torch.rand(6, CODES),
        words=torch.rand(6, TERMS).round(),
        own=torch.arange(6) % TEXTS,
        prior=torch.zeros(CODES),
        bank=wording,
        bank_content=torch.cat([statements, wording], dim=1),
        bank_statements=statements,
        bank_ids=torch.randint(1, PIECES, (TEXTS, LENGTH), dtype=torch.int32),
    )


def small(file: Path) -> Recipe:
    """Read a recipe, with a small encoder."""
    recipe = read_recipe(file)
    return msgspec.structs.replace(recipe, image=msgspec.structs.replace(recipe.image, tower=SMALL))


def test_there_are_recipes():
    assert len(FILES) > 30
    assert len(ENCODINGS) == 15


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_recipe_is_read_and_its_encoder_embeds_what_is_drawn(file, few):
    recipe = small(file)
    prior = torch.zeros(CODES)
    encoder = ImageEncoder([new_vit(recipe, prior)], prior).eval()
    (images,) = images_of(few, recipe.specs)
    embeddings = encoder(torch.from_numpy(images))
    assert embeddings.shape == (6, SMALL.embedding)
    torch.testing.assert_close(embeddings.norm(dim=-1), torch.ones(6))
    assert float((embeddings[0] - embeddings[1]).detach().abs().max()) > 1e-6
    assert file.read_text().startswith("# ")


@pytest.mark.parametrize("file", ENCODINGS, ids=lambda file: file.stem)
def test_an_encoding_trains_for_a_step(file, few, targets):
    recipe = small(file)
    vit = new_vit(recipe, targets.prior)
    text = TextEncoder(SMALL, PIECES, LENGTH, CODES)
    tower = ImageTower(vit, targets, recipe.image.losses, text)
    views = [Recordings.of(few, spec) for spec in recipe.specs]
    batch = Batch(np.arange(6), np.random.default_rng(0))
    losses = tower(*prepare_images(views, recipe.image.augmentation, batch))
    torch.stack(list(losses.values())).sum().backward()
    assert {"statements", "words", "contrast", "score", "reverse"} == losses.keys()
    assert all(weight.grad is not None for weight in vit.parameters())
