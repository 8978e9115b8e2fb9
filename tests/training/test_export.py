import shutil

import numpy as np
import onnxruntime
import pytest
import torch

from services.domain.errors import CardexError
from services.inference.model_card import served_spec
from services.training.export import export, set_image_shape, set_parameters
from services.training.image import ImageTower
from services.training.models import TextEncoder
from services.training.run import Recipe, Trained
from services.training.text import LENGTH, train_tokenizer
from tests.training.conftest import RASTER, SMALL

CODES = ["NORM", "AFIB"]


@pytest.fixture
def repository(root, tmp_path):
    shutil.copytree(root / "model_repository", tmp_path / "models", symlinks=True)
    return tmp_path / "models"


@pytest.fixture
def trained():
    tokenizer = train_tokenizer(["sinus rhythm", "vorhofflimmern"], vocabulary=60)
    text = TextEncoder(SMALL, tokenizer.get_vocab_size(), LENGTH, len(CODES)).eval()
    image = ImageTower(SMALL, RASTER, torch.zeros(len(CODES))).eval()
    return Trained(Recipe(spec=RASTER), tokenizer, text, image, CODES)


def test_what_is_exported_answers_as_torch_does_at_every_batch_size(trained, repository):
    export(trained, repository, {})
    graph = repository / "ecg_image_encoder" / "1" / "model.onnx"
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    for batch in (1, 5, 32):
        images = np.random.default_rng(batch).integers(0, 256, (batch, *RASTER.shape), np.uint8)
        (found,) = session.run(None, {"image": images})
        with torch.no_grad():
            expected = trained.image.encoder(torch.from_numpy(images)).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_repository_names_version_and_image_everywhere(trained, repository):
    version = export(trained, repository, {"figure": 1.0})
    config = (repository / "ecg_image_encoder" / "configs" / "cpu.pbtxt").read_text()
    assert config.count("dims: [ 12, 200, 1 ]") == 2
    assert version in config
    assert version in (repository / "report_text_encoder" / "configs" / "cpu.pbtxt").read_text()
    assert served_spec(repository) == RASTER


def test_another_training_is_another_version(trained, repository):
    before = export(trained, repository, {})
    with torch.no_grad():
        trained.image.encoder.cls += 1.0
    assert export(trained, repository, {}) != before


def test_a_configuration_without_the_line_is_named(tmp_path):
    config = tmp_path / "config.pbtxt"
    config.write_text('name: "x"\n')
    with pytest.raises(CardexError, match="model_version"):
        set_parameters(config, {"model_version": "1"})
    with pytest.raises(CardexError, match="dims"):
        set_image_shape(config, (1, 2, 3))
