"""Torch computes what the shipped graphs compute, on real ECGs and real reports."""

import copy
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from cardex.evaluation.embedder import OnnxEmbedder
from cardex.inference.repository import IMAGE_ENCODER, MATCHER, TEXT_ENCODER, newest
from cardex.inference.tokenizer import ReportTokenizer
from cardex.models.precision import read
from cardex.training.image_encoder import ImageEncoder, Vit
from cardex.training.matcher import Matcher
from cardex.training.recipe import Recipe
from cardex.training.text_encoder import TextEncoder
from cardex.training.tokens import LENGTH
from tests.helpers.real import ROOT, cpsc_images, reports

# Two libraries add up float32 sums in different orders; the matcher's log-odds reach some tens.
TOLERANCE = 1e-5
MATCH_TOLERANCE = 1e-3


def weights(path: Path) -> dict[str, Tensor]:
    """Return a graph's weights by torch's names.

    The exporter keeps names of biases, transposes the matrices of linear layers, and merges batch
    normalisation into the convolution before it.
    """
    graph = read(path).graph
    found = {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in graph.initializer
    }
    readers = {name: node for node in graph.node for name in node.input}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in found:
            (bias,) = (name for name in readers[node.output[0]].input if name.endswith(".bias"))
            found[bias.removesuffix("bias") + "weight"] = found.pop(node.input[1]).T
    return found


def convolutions(path: Path) -> list[tuple[Tensor, Tensor]]:
    """Return weight and bias of each convolution of a graph, in order."""
    graph, found = read(path).graph, weights(path)
    convolutions = (node for node in graph.node if node.op_type == "Conv")
    return [(found[node.input[1]], found[node.input[2]]) for node in convolutions]


@torch.no_grad()
def fill_stems(model: nn.Module, path: Path) -> None:
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv1d | nn.BatchNorm1d)]
    joined = convolutions(path)
    for convolution, norm, (weight, bias) in zip(layers[::2], layers[1::2], joined, strict=True):
        convolution.weight.copy_(weight)
        norm.eps = 0.0  # means, variances and factors of a new one are 0 and 1 and 1
        norm.bias.copy_(bias)


def fill(model: nn.Module, path: Path, unused: tuple[str, ...] = ()) -> nn.Module:
    """Give a model a graph's weights; fails if the graph lacks one that is not `unused`."""
    missing, _ = model.load_state_dict(weights(path), strict=False)
    elsewhere = ("num_batches_tracked", *unused)
    assert not [name for name in missing if "stem." not in name and not name.endswith(elsewhere)]
    return model.eval()


@pytest.fixture(scope="module")
def release():
    return newest(ROOT / "model_repository")


@pytest.fixture(scope="module")
def graphs():
    return OnnxEmbedder(ROOT / "model_repository")


@pytest.fixture(scope="module")
def recipe(release):
    found = json.loads(release.card.read_text())["recipe"]
    found.pop("spec")
    return msgspec.convert(found, Recipe)


@pytest.fixture(scope="module")
def image(release, recipe):
    path, how = release.graph(IMAGE_ENCODER), recipe.image
    statements = len(weights(path)["offset"])
    members = [Vit(how.size, release.spec(), how.patch, statements) for _ in range(how.members)]
    encoder = ImageEncoder(members, torch.zeros(statements), how.prototypes, how.has_voltages)
    fill_stems(encoder, path)
    return fill(encoder, path)


@pytest.fixture(scope="module")
def text(release, recipe):
    path = release.graph(TEXT_ENCODER)
    found = weights(path)
    sizes = len(found["embed.weight"]), LENGTH, len(found["space.statements.bias"])
    return fill(TextEncoder(recipe.text.tower, *sizes, recipe.image.prototypes), path)


@pytest.fixture(scope="module")
def images(release):
    return cpsc_images(release.spec())


@pytest.fixture(scope="module")
def texts():
    return [report.text for report in reports(120)]


@pytest.fixture(scope="module")
def ids(release, texts):
    return torch.from_numpy(ReportTokenizer(release.tokenizer).encode(texts))


def test_images(image, graphs, images):
    with torch.no_grad():
        found = image(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(found, graphs.images(images), atol=TOLERANCE)


def test_reports(text, graphs, texts, ids):
    with torch.no_grad():
        found = text(ids).numpy()
    np.testing.assert_allclose(found, graphs.texts(texts), atol=TOLERANCE)


def test_matches(release, image, text, graphs, images, texts, ids):
    path = release.graph(MATCHER)
    matcher = Matcher(copy.deepcopy(image), text)
    fill_stems(matcher.image.members[0], path)
    tokens = ("image.members.0.stem", "image.members.0.blocks", "image.members.0.pos")
    elsewhere = [
        name
        for name in matcher.state_dict()
        if name.startswith("image.") and not name.startswith((*tokens, "image.members.0.cls"))
    ]
    fill(matcher, path, ("language.weight", "language.bias", *elsewhere))
    with torch.no_grad():
        found = matcher(torch.from_numpy(images[:2]), ids[:24].expand(2, -1, -1)).numpy()
    for one, log_odds in zip(images, found, strict=False):
        np.testing.assert_allclose(log_odds, graphs.match(one, texts[:24]), atol=MATCH_TOLERANCE)
