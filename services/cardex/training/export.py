"""Exports trained models to a model repository: graphs, tokenizer, parameters, model card."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from cardex.domain.errors import CardexError
from cardex.domain.settings import ROOT
from cardex.inference.novelty import write_novelty
from cardex.inference.probe import SHOWN, probe_image, probe_tokens
from cardex.inference.repository import (
    GRAPHS,
    IMAGE_ENCODER,
    MATCHER,
    MODELS,
    STAT_INSTANCE,
    TEXT_ENCODER,
    ModelVersion,
    model_versions,
)
from cardex.models.config import config_files, set_image_shape, set_parameters
from cardex.models.install import lay_out
from cardex.models.storage import SMALLEST, compact
from cardex.training.card import Card, write_card, write_statements
from cardex.training.recipe import Recipe
from cardex.training.run import Trained
from cardex.training.tokens import LENGTH

OPSET = 18
PARITY = 1e-4
"""Largest difference from torch of a unit vector's components."""
MATCH_PARITY = 2e-3
"""The same of the matcher's logits, which are no unit vectors: the exporter merges each batch
normalisation into the convolution before it, whose weights are then rounded once more."""
CANDIDATES = 3
"""Number of reports with which the matcher is traced; its graph takes any number."""


def export(trained: Trained, repository: Path, card: Card) -> str:
    """Write the models into a model repository, as its version 1; returns the model version.

    A folder without configurations gets those of the project's own repository.

    Raises:
        CardexError: if ONNX Runtime and torch differ by more than the parity, the repository has
            other versions, it has a matcher and the recipe has none, or the recipe is none of the
            service's (`check_exportable`).
    """
    spec = trained.recipe.spec
    check_exportable(trained.recipe)
    release = ModelVersion(repository, 1)
    if others := [one.triton_version for one in model_versions(repository) if one != release]:
        raise CardexError(
            f"{repository} also holds version {others[-1]}: export into a repository of its own,"
            " and bring it into service by `cardex models deploy`"
        )
    lay_out(repository, ROOT / "model_repository", matcher=trained.matcher is not None)
    graphs = {name: release.graph(name) for name in GRAPHS}
    if trained.matcher is None and (repository / MATCHER).exists():
        raise CardexError(
            f"the recipe has no [matcher], and {repository / MATCHER} is one of another model: add"
            " one to the recipe, or remove that folder"
        )
    pixels, tokens = probe_image(spec.shape), probe_tokens(LENGTH)
    image_probe = _write_graph(
        trained.image, {"image": torch.from_numpy(pixels)}, "embedding", graphs[IMAGE_ENCODER]
    )
    text_probe = _write_graph(
        trained.text, {"token_ids": torch.from_numpy(tokens)}, "embedding", graphs[TEXT_ENCODER]
    )
    if trained.matcher:
        both = {
            "image": torch.from_numpy(pixels),
            "token_ids": torch.from_numpy(np.repeat(tokens[:, None], CANDIDATES, axis=1)),
        }
        _write_graph(trained.matcher, both, "match", graphs[MATCHER])
    trained.tokenizer.save(str(release.tokenizer))
    version = _version(*(path for path in graphs.values() if path.is_file()), release.tokenizer)
    fingerprint = hashlib.sha256(release.tokenizer.read_bytes()).hexdigest()
    image = {"image_spec": spec.to_json(), "probe": json.dumps(image_probe)}
    text = {
        "tokenizer_sha256": fingerprint, "length": str(LENGTH), "probe": json.dumps(text_probe),
    }  # fmt: skip
    values = {IMAGE_ENCODER: image, STAT_INSTANCE: image, TEXT_ENCODER: text, MATCHER: {}}
    for model in MODELS:
        for config in config_files(repository, model):
            set_parameters(
                config, release.triton_version, {"model_version": version, **values[model]}
            )
            if model != TEXT_ENCODER:
                set_image_shape(config, spec.shape)
    write_statements(release.statements, version, card)
    release.novelty.unlink(missing_ok=True)
    if card.novelty is not None:
        write_novelty(release.novelty, version, card.novelty)
    write_card(release, version, trained.recipe, card)
    return version


def check_exportable(recipe: Recipe) -> None:
    """Check that the service can do before the models what the recipe does.

    Raises:
        CardexError: if it cleans reports, or shows the image encoder two images.
    """
    if recipe.text.clean:
        raise CardexError(
            "text.clean: the service reads reports as they are: train without it to export"
        )
    if recipe.second_image is not None:
        raise CardexError(
            "second_image: the service draws one image of an ECG: train without it to export, or"
            " measure the recipe by `cardex table`"
        )


def _write_graph(
    model: nn.Module, example: dict[str, Tensor], output: str, path: Path
) -> list[float]:
    """Export one model, compare it with torch, and return its answer to the known input.

    Its weights are rounded to half precision, in place, in which they are stored.

    The first axis of every tensor is the batch; the matcher's "token_ids" and "match" have the
    candidate reports as second axis.
    """
    model.cpu().eval()
    _round_weights(model)
    batch = tuple(tensor.repeat(3, *[1] * (tensor.dim() - 1)) for tensor in example.values())
    axes = {name: {0: "batch"} for name in (*example, output)}
    if output == "match":
        axes |= {name: {0: "batch", 1: "candidates"} for name in ("token_ids", output)}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        model,
        batch,
        str(path),
        input_names=list(example),
        output_names=[output],
        dynamic_axes=axes,
        opset_version=OPSET,
        dynamo=False,
    )
    graph = onnx.load(path)
    compact(graph)
    onnx.save(graph, path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {name: tensor.numpy() for name, tensor in example.items()})
    with torch.no_grad():
        expected = model(*example.values()).numpy()
    difference = float(np.abs(found - expected).max())
    if not difference <= (MATCH_PARITY if output == "match" else PARITY):
        raise CardexError(
            f"{path.parent.parent.name}: ONNX Runtime differs from torch by {difference:.2g}"
        )
    return [round(float(value), 5) for value in found[0, :SHOWN]]


@torch.no_grad()
def _round_weights(model: nn.Module) -> None:
    for weight in [*model.parameters(), *model.buffers()]:
        if weight.is_floating_point() and weight.numel() >= SMALLEST:
            weight.copy_(weight.half().float())


def _version(*files: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return f"cardex-{digest.hexdigest()[:12]}"
