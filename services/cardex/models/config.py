"""Edits a model's `config.pbtxt` files line by line, so that their comments stay."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from cardex.domain.errors import ConfigurationError
from cardex.inference.repository import parameter_key
from cardex.models.files import replace

_POLICY = re.compile(r"^(version_policy \{ specific \{ versions: \[)([\d, ]+)(\] \} \})$", re.M)


def config_files(repository: Path, model: str) -> list[Path]:
    """Return the configurations of a model, one for each target."""
    return sorted((repository / model).glob("configs/*.pbtxt"))


def set_image_shape(config: Path, shape: tuple[int, int, int]) -> None:
    """Set the image's dims in the input, the warm-up and the CUDA graphs of a configuration.

    Raises:
        ConfigurationError: if the file has no line with these dims.
    """
    dims = ", ".join(map(str, shape))
    pattern = r'((?:name|key): "image" .*dims?: \[) [\d, ]+ (\])'
    text, found = re.subn(pattern, rf"\1 {dims} \2", config.read_text())
    if not found:
        raise ConfigurationError(f"{config} has no line with the dims of the image")
    replace(config, text.encode())


def parameters(config: Path, triton_version: int) -> dict[str, str]:
    """Return the parameters of one version by their names; raises ConfigurationError.

    In the file a name follows the version and a dot, as in `1.model_version`.
    """
    pattern = (
        rf'^parameters {{ key: "{triton_version}\.(\w+)" value: {{ string_value: (".*") }} }}$'
    )
    try:
        found = re.findall(pattern, config.read_text(), flags=re.M)
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {config} ({error.strerror}): the model repository was written by another"
            " release; export the model anew"
        ) from error
    return {name: json.loads(quoted) for name, quoted in found}


def set_parameters(config: Path, triton_version: int, values: Mapping[str, str]) -> None:
    """Set the parameters of one version: known lines are replaced, new ones appended."""
    text = config.read_text()
    for name, value in values.items():
        key = parameter_key(triton_version, name)
        line = f'parameters {{ key: "{key}" value: {{ string_value: {json.dumps(value)} }} }}'
        pattern = rf'^parameters {{ key: "{re.escape(key)}" value: .*$'
        text, found = re.subn(pattern, line.replace("\\", r"\\"), text, flags=re.M)
        if not found:
            text = f"{text.rstrip()}\n{line}\n"
    replace(config, text.encode())


def remove_parameters(config: Path, triton_version: int) -> None:
    """Remove the parameters of one version."""
    pattern = rf'^parameters {{ key: "{triton_version}\..*\n'
    replace(config, re.sub(pattern, "", config.read_text(), flags=re.M).encode())


def versions(config: Path) -> list[int]:
    """Return the Triton versions that a configuration serves; raises ConfigurationError."""
    found = _POLICY.search(config.read_text())
    if found is None:
        raise ConfigurationError(
            f"{config} has no line 'version_policy {{ specific {{ versions: [ 1 ] }} }}', which"
            " says what is served"
        )
    return [int(triton_version) for triton_version in found[2].split(",")]


def set_versions(config: Path, triton_versions: Sequence[int]) -> None:
    """Set the Triton versions that a configuration serves; raises ConfigurationError."""
    versions(config)
    listed = ", ".join(map(str, triton_versions))
    replace(config, _POLICY.sub(rf"\g<1> {listed} \g<3>", config.read_text()).encode())


def max_batch_size(config: Path) -> int:
    """Return the largest batch of a configuration; raises ConfigurationError."""
    try:
        found = re.search(r"^max_batch_size: (\d+)$", config.read_text(), re.M)
    except OSError as error:
        raise ConfigurationError(f"cannot read {config}: {error.strerror}") from error
    if found is None:
        raise ConfigurationError(f"{config} has no line with max_batch_size")
    return int(found[1])
