"""From trained towers to the model repository: graphs, tokenizer, parameters, model card."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from services.domain.errors import CardexError
from services.evaluation.calibration import Curve
from services.evaluation.embedder import IMAGE, MATCHER, STATEMENTS, TEXT
from services.inference.probe import SHOWN, probe_image, probe_tokens
from services.retrieval.ptbxl import StatementKind
from services.training.card import write_card, write_statements
from services.training.run import Trained
from services.training.tokens import LENGTH

OPSET = 18
PARITY = 1e-4
CANDIDATES = 3
"""Reports in the example by which the matcher is traced; its graph takes any number."""


@dataclass(frozen=True, slots=True)
class Card:
    """What a model says of itself beside its weights.

    Attributes:
        kinds: what each statement is.
        curves: statement code to how its similarity becomes a probability.
        match_weight: of the matcher's logit beside the similarity.
        figures: measured on held-out ECGs.
        data: what it was trained on, in words.
    """

    kinds: Mapping[str, StatementKind]
    curves: Mapping[str, Curve]
    match_weight: float
    figures: Mapping[str, Any]
    data: str


def export(trained: Trained, repository: Path, card: Card) -> str:
    """Write the models into a model repository; returns the model version.

    Raises:
        CardexError: if ONNX Runtime and torch differ by more than `PARITY`, the repository has a matcher and
            the recipe none, or the recipe cleans reports, which the service does not.
    """
    spec = trained.recipe.spec
    if trained.recipe.text.clean:
        raise CardexError(
            "text.clean: the service reads reports as they are: train without it to export"
        )
    graphs = {name: repository / name / "1" / "model.onnx" for name in (IMAGE, TEXT, MATCHER)}
    if trained.matcher is None and (repository / MATCHER).exists():
        raise CardexError(
            f"the recipe has no [matcher], and {repository / MATCHER} is one of another model: add one"
            " to the recipe, or remove that folder"
        )
    pixels, tokens = probe_image(spec.shape), probe_tokens(LENGTH)
    image_probe = _write_graph(
        trained.image, {"image": torch.from_numpy(pixels)}, "embedding", graphs[IMAGE]
    )
    text_probe = _write_graph(
        trained.text, {"token_ids": torch.from_numpy(tokens)}, "embedding", graphs[TEXT]
    )
    if trained.matcher:
        both = {
            "image": torch.from_numpy(pixels),
            "token_ids": torch.from_numpy(np.repeat(tokens[:, None], CANDIDATES, axis=1)),
        }
        _write_graph(trained.matcher, both, "match", graphs[MATCHER])
    tokenizer = repository / TEXT / "tokenizer.json"
    trained.tokenizer.save(str(tokenizer))
    version = _version(*(path for path in graphs.values() if path.is_file()), tokenizer)
    _configure(
        repository, IMAGE, version, {"image_spec": spec.to_json(), "probe": json.dumps(image_probe)}
    )
    fingerprint = hashlib.sha256(tokenizer.read_bytes()).hexdigest()
    _configure(
        repository, TEXT, version,
        {"tokenizer_sha256": fingerprint, "length": str(LENGTH), "probe": json.dumps(text_probe)},
    )  # fmt: skip
    _configure(repository, MATCHER, version, {})
    for config in _configs(repository, IMAGE) + _configs(repository, MATCHER):
        set_image_shape(config, spec.shape)
    write_statements(repository / STATEMENTS, version, card)
    write_card(repository, version, trained.recipe, card)
    return version


def _configs(repository: Path, model: str) -> list[Path]:
    return sorted((repository / model).glob("**/*.pbtxt"))


def _configure(repository: Path, model: str, version: str, values: dict[str, str]) -> None:
    for config in _configs(repository, model):
        set_parameters(config, {"model_version": version, **values})


def _write_graph(
    model: nn.Module, example: dict[str, Tensor], output: str, path: Path
) -> list[float]:
    """Export one model, check it against torch, and return the answer to its known input.

    The first axis of every tensor is the batch; the second of "token_ids" and "match", where there is one
    more, the candidate reports.
    """
    model.cpu().eval()
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
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {name: tensor.numpy() for name, tensor in example.items()})
    with torch.no_grad():
        expected = model(*example.values()).numpy()
    difference = float(np.abs(found - expected).max())
    if not difference <= PARITY:
        raise CardexError(
            f"{path.parent.parent.name}: ONNX Runtime differs from torch by {difference:.2g}"
        )
    return [round(float(value), 5) for value in found[0, :SHOWN]]


def _version(*files: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return f"cardex-{digest.hexdigest()[:12]}"


def set_image_shape(config: Path, shape: tuple[int, int, int]) -> None:
    """Set the dims of the image input, and of its warm-up, in a config.pbtxt in place.

    Raises:
        CardexError: if the file has no such line.
    """
    dims = ", ".join(map(str, shape))
    pattern = r'((?:name|key): "image" .*dims: \[) [\d, ]+ (\])'
    text, found = re.subn(pattern, rf"\1 {dims} \2", config.read_text())
    if not found:
        raise CardexError(f"{config} has no line with the dims of the image")
    config.write_text(text)


def set_parameters(config: Path, values: dict[str, str]) -> None:
    """Set `parameters` of a config.pbtxt in place; its comments stay.

    Raises:
        CardexError: if the file lacks one of them.
    """
    text = config.read_text()
    for key, value in values.items():
        quoted = json.dumps(value)
        line = f'parameters {{ key: "{key}" value: {{ string_value: {quoted} }} }}'
        pattern = rf'^parameters {{ key: "{key}" value: {{ string_value: ".*" }} }}$'
        text, found = re.subn(pattern, line.replace("\\", r"\\"), text, flags=re.MULTILINE)
        if found != 1:
            raise CardexError(f"{config} has {found} lines of parameter {key!r}: needs one")
    config.write_text(text)
