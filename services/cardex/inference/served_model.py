"""Reads a served version from Triton's configurations, and checks that this process fits it."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from cardex.domain.errors import ConfigurationError, VersionMismatch
from cardex.inference.encoder import ModelInfo
from cardex.inference.repository import (
    IMAGE_ENCODER,
    MATCHER,
    STAT_INSTANCE,
    TEXT_ENCODER,
    ModelVersion,
    parameter_key,
)
from cardex.inference.tokenizer import ReportTokenizer
from cardex.signals.image_spec import ImageSpec

T = TypeVar("T")

IMAGE_INPUT, TEXT_INPUT = "image", "token_ids"
OUTPUT, MATCH_OUTPUT = "embedding", "match"
_PARAMETERS = {
    IMAGE_ENCODER: ("model_version", "probe", "image_spec"),
    STAT_INSTANCE: ("model_version", "probe", "image_spec"),
    TEXT_ENCODER: ("model_version", "probe", "tokenizer_sha256", "length"),
    MATCHER: ("model_version",),
}


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One served version, with everything that a call needs.

    Attributes:
        info: the description that other packages see.
        tokenizer: turns its reports into token ids.
        largest: by model, the largest batch of one call.
        probes: by encoder, the first components of its embedding of the known input.
    """

    info: ModelInfo
    tokenizer: ReportTokenizer
    largest: Mapping[str, int]
    probes: Mapping[str, list[float]]

    def has(self, model: str) -> bool:
        """Return whether Triton serves this model in the version."""
        return model in self.largest


def read_served(release: ModelVersion, configs: Mapping[str, ModelConfig]) -> ServedModel:
    """Read one version from the server's configurations.

    Args:
        release: the version in this process's model repository, which has its tokenizer.
        configs: Triton's configurations of the models that serve this version, among them both
            encoders.

    Raises:
        VersionMismatch: if models and tokenizer are of different versions; the message names both.
        ConfigurationError: if a parameter is missing, or a tensor has another name, type or shape.
    """
    values_of = {
        model: _parameters(model, config, release.triton_version)
        for model, config in configs.items()
    }
    version = values_of[IMAGE_ENCODER]["model_version"]
    for model, parameters in values_of.items():
        _require_version(version, model, parameters["model_version"])
    image, text = values_of[IMAGE_ENCODER], values_of[TEXT_ENCODER]
    spec = _decoded(IMAGE_ENCODER, "image_spec", image, ImageSpec.from_json)
    length = _decoded(TEXT_ENCODER, "length", text, int)
    probes = {
        model: _decoded(model, "probe", values, _probe)
        for model, values in ((IMAGE_ENCODER, image), (TEXT_ENCODER, text))
    }
    tokenizer = _tokenizer(release, version, text["tokenizer_sha256"])
    if tokenizer.length != length:
        raise VersionMismatch(
            f"{release.tokenizer} makes {tokenizer.length} tokens, {TEXT_ENCODER} {version} takes"
            f" {length}: install the tokenizer that came with the model"
        )
    dimension = _check_tensors(configs, spec, length)
    return ServedModel(
        ModelInfo(version, spec, dimension, MATCHER in configs, release.triton_version),
        tokenizer,
        {model: config.max_batch_size for model, config in configs.items()},
        probes,
    )


def _parameters(model: str, config: ModelConfig, triton_version: int) -> dict[str, str]:
    keys = {name: parameter_key(triton_version, name) for name in _PARAMETERS[model]}
    if missing := sorted(key for key in keys.values() if key not in config.parameters):
        raise ConfigurationError(f"the configuration of {model} lacks parameters {missing}")
    return {name: config.parameters[key].string_value for name, key in keys.items()}


def _decoded(model: str, name: str, values: Mapping[str, str], decode: Callable[[str], T]) -> T:
    try:
        return decode(values[name])
    except ValueError as error:  # msgspec's errors are ValueErrors too
        raise ConfigurationError(
            f"the configuration of {model} has a {name} that cannot be read: {error};"
            " export it again"
        ) from error


def _probe(text: str) -> list[float]:
    return msgspec.json.decode(text, type=list[float])


def _require_version(version: str, model: str, other: str) -> None:
    if other != version:
        raise VersionMismatch(
            f"Triton serves {IMAGE_ENCODER} {version} beside {model} {other}: deploy all of one"
            " version"
        )


def _tokenizer(release: ModelVersion, version: str, fingerprint: str) -> ReportTokenizer:
    path = release.tokenizer
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigurationError(
            f"Triton serves {version} as version {release.triton_version}, but this process has no"
            f" {path} ({error.strerror}): give it the same model repository, or set"
            " CARDEX_MODEL_REPOSITORY"
        ) from error
    if found != fingerprint:
        raise VersionMismatch(
            f"{TEXT_ENCODER} {version} was trained with tokenizer {fingerprint[:12]}, {path} is"
            f" {found[:12]}: install the tokenizer.json that came with the model"
        )
    return ReportTokenizer(path)


def _check_tensors(configs: Mapping[str, ModelConfig], spec: ImageSpec, length: int) -> int:
    """Check names, types and shapes; returns the length of an embedding."""
    pixels, tokens = list(spec.shape), [length]
    takes = {
        IMAGE_ENCODER: {IMAGE_INPUT: ("TYPE_UINT8", pixels)},
        STAT_INSTANCE: {IMAGE_INPUT: ("TYPE_UINT8", pixels)},
        TEXT_ENCODER: {TEXT_INPUT: ("TYPE_INT32", tokens)},
        MATCHER: {
            IMAGE_INPUT: ("TYPE_UINT8", pixels),
            TEXT_INPUT: ("TYPE_INT32", [-1, *tokens]),
        },
    }
    dimension = list(configs[IMAGE_ENCODER].output[0].dims) if configs[IMAGE_ENCODER].output else []
    gives = {model: {OUTPUT: ("TYPE_FP32", dimension)} for model in takes} | {
        MATCHER: {MATCH_OUTPUT: ("TYPE_FP32", [-1])}
    }
    for model, config in configs.items():
        if config.max_batch_size < 1:
            raise ConfigurationError(f"{model} has max_batch_size {config.max_batch_size}: needs 1")
        _compare(f"{model} takes", config.input, takes[model])
        _compare(f"{model} gives", config.output, gives[model])
    if len(dimension) != 1 or dimension[0] < 1:
        raise ConfigurationError(
            f"{IMAGE_ENCODER} gives {OUTPUT} {dimension}: must be one vector of fixed length"
        )
    return int(dimension[0])


def _compare(what: str, served: Sequence[Any], wanted: Mapping[str, tuple[str, list[int]]]) -> None:
    found = {tensor.name: (DataType.Name(tensor.data_type), list(tensor.dims)) for tensor in served}
    if found != wanted:
        raise ConfigurationError(
            f"{what} {_shown(found)}, this Cardex {_shown(wanted)}: deploy a model that was"
            " exported for it, or install the Cardex that belongs to the model"
        )


def _shown(tensors: Mapping[str, tuple[str, list[int]]]) -> str:
    return ", ".join(f"{name} {kind} {dims}" for name, (kind, dims) in tensors.items()) or "nothing"
