"""From trained towers to the model repository: graphs, tokenizer, parameters, model card."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from services.domain.errors import CardexError
from services.inference.model_card import MODEL_CARD
from services.inference.probe import SHOWN, probe_image, probe_tokens
from services.training.run import Trained, describe
from services.training.text import LENGTH

OPSET = 18
PARITY = 1e-4
IMAGE, TEXT = "ecg_image_encoder", "report_text_encoder"


def export(trained: Trained, repository: Path, figures: dict[str, object]) -> str:
    """Write both encoders into a model repository; returns the model version.

    Raises:
        CardexError: if ONNX Runtime and torch differ by more than `PARITY`.
    """
    spec = trained.recipe.spec
    image, text = repository / IMAGE / "1", repository / TEXT / "1"
    pixels, tokens = probe_image(spec.shape), probe_tokens(LENGTH)
    image_probe = _write_graph(
        trained.image.encoder, torch.from_numpy(pixels), "image", image / "model.onnx"
    )
    text_probe = _write_graph(
        trained.text, torch.from_numpy(tokens), "token_ids", text / "model.onnx"
    )
    tokenizer = repository / TEXT / "tokenizer.json"
    trained.tokenizer.save(str(tokenizer))
    fingerprint = hashlib.sha256(tokenizer.read_bytes()).hexdigest()
    version = _version(image / "model.onnx", text / "model.onnx", tokenizer)
    for model, own in (
        (IMAGE, {"image_spec": spec.to_json(), "probe": json.dumps(image_probe)}),
        (TEXT, {"tokenizer_sha256": fingerprint, "length": str(LENGTH),
                "probe": json.dumps(text_probe)}),
    ):  # fmt: skip
        for config in sorted((repository / model).glob("**/*.pbtxt")):
            set_parameters(config, {"model_version": version, **own})
    for config in sorted((repository / IMAGE).glob("**/*.pbtxt")):
        set_image_shape(config, spec.shape)
    card = {"model_version": version, "recipe": describe(trained.recipe), "figures": figures}
    (repository / MODEL_CARD).write_text(json.dumps(card, indent=2, default=str) + "\n")
    return version


def _write_graph(encoder: nn.Module, example: Tensor, name: str, path: Path) -> list[float]:
    """Export one encoder, check it against torch, and return the answer to its known input."""
    encoder.eval()
    batch = example.repeat(3, *[1] * (example.dim() - 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        encoder,
        (batch,),
        str(path),
        input_names=[name],
        output_names=["embedding"],
        dynamic_axes={name: {0: "batch"}, "embedding": {0: "batch"}},
        opset_version=OPSET,
        dynamo=False,
    )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {name: example.numpy()})
    with torch.no_grad():
        expected = encoder(example).numpy()
    difference = float(np.abs(found - expected).max())
    if not difference <= PARITY:
        raise CardexError(f"{path.name}: ONNX Runtime differs from torch by {difference:.2g}")
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
