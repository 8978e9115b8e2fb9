"""Small models as Triton's configurations tell them, several versions side by side."""

import json
import shutil
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from cardex.inference.repository import (
    IMAGE_ENCODER,
    MATCHER,
    MODELS,
    STAT_INSTANCE,
    TEXT_ENCODER,
    ModelVersion,
    newest,
    parameter_key,
)
from cardex.inference.tokenizer import ReportTokenizer
from cardex.signals.image_spec import ImageSpec
from tests.conftest import ROOT

TOKENIZER = newest(ROOT / "model_repository").tokenizer
FINGERPRINT = ReportTokenizer(TOKENIZER).fingerprint
LENGTH = 64
SPEC = ImageSpec(tile=4)
PROBE = [0.5, 0.5, -0.5, -0.5]
LARGEST = {IMAGE_ENCODER: 32, STAT_INSTANCE: 4, TEXT_ENCODER: 16, MATCHER: 4}

_PIXELS = ", ".join(map(str, SPEC.shape))
_IMAGE = f'input {{ name: "image" data_type: TYPE_UINT8 dims: [ {_PIXELS} ] }}'
_TOKENS = 'input {{ name: "token_ids" data_type: TYPE_INT32 dims: [ {} ] }}'
_EMBEDDING = 'output { name: "embedding" data_type: TYPE_FP32 dims: [ 4 ] }'
_MATCH = 'output { name: "match" data_type: TYPE_FP32 dims: [ -1 ] }'
_TENSORS = {
    IMAGE_ENCODER: (_IMAGE, _EMBEDDING),
    STAT_INSTANCE: (_IMAGE, _EMBEDDING),
    TEXT_ENCODER: (_TOKENS.format(LENGTH), _EMBEDDING),
    MATCHER: (_IMAGE, _TOKENS.format(f"-1, {LENGTH}"), _MATCH),
}


def small_configs() -> dict[str, ModelConfig]:
    """Return a configuration of every model, with no version yet."""
    configs = {}
    for model in MODELS:
        config = text_format.Parse(" ".join(_TENSORS[model]), ModelConfig())
        config.name, config.max_batch_size = model, LARGEST[model]
        configs[model] = config
    return configs


def add_version(configs: dict[str, ModelConfig], triton_version: int, version: str) -> None:
    """Write the parameters of one version into each configuration."""
    for model in configs:
        change(configs, model, triton_version, model_version=version)
    for model in configs.keys() & {IMAGE_ENCODER, STAT_INSTANCE}:
        change(configs, model, triton_version, image_spec=SPEC.to_json(), probe=json.dumps(PROBE))
    change(
        configs, TEXT_ENCODER, triton_version,
        tokenizer_sha256=FINGERPRINT, length=str(LENGTH), probe=json.dumps(PROBE),
    )  # fmt: skip


def change(configs: dict[str, ModelConfig], model: str, triton_version: int, **values: str) -> None:
    """Set parameters of one version of one model."""
    for name, value in values.items():
        configs[model].parameters[parameter_key(triton_version, name)].string_value = value


def install(repository: Path, triton_version: int) -> ModelVersion:
    """Give this process the tokenizer of a version."""
    release = ModelVersion(repository, triton_version)
    release.tokenizer.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(TOKENIZER, release.tokenizer)
    return release
