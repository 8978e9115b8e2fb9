"""Adds a version to a model repository, removes it, and sets which versions are served."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from cardex.domain.errors import ConfigurationError
from cardex.inference.encoder import ModelInfo
from cardex.inference.novelty import load_novelty, served_novelty
from cardex.inference.repository import (
    IMAGE_ENCODER,
    MATCHER,
    MODELS,
    PLAN,
    STAT_INSTANCE,
    TEXT_ENCODER,
    ModelVersion,
    model_versions,
)
from cardex.inference.statements import served_calibration
from cardex.models.config import (
    config_files,
    parameters,
    remove_parameters,
    set_parameters,
    set_versions,
    versions,
)

# The image encoder comes last: only with it is a version complete for clients.
ORDER = (MATCHER, STAT_INSTANCE, TEXT_ENCODER, IMAGE_ENCODER)


def lay_out(repository: Path, template: Path, *, matcher: bool) -> None:
    """Copy the configurations of another repository into a folder, for a version 1 to come.

    Args:
        repository: the folder; if it has configurations, it is left as it is.
        template: model repository whose configurations and CPU backend are copied.
        matcher: whether the version will have a matcher.
    """
    if (repository / IMAGE_ENCODER / "configs").is_dir():
        return
    for model in MODELS:
        if model == MATCHER and not matcher:
            continue
        shutil.copytree(
            template / model / "configs", repository / model / "configs", dirs_exist_ok=True
        )
        (repository / model / "config.pbtxt").symlink_to("configs/onnxruntime.pbtxt")
        folder = repository / model / "1"
        if model == STAT_INSTANCE:
            folder.symlink_to(f"../{IMAGE_ENCODER}/1")
        else:
            folder.mkdir(exist_ok=True)
            shutil.copy(template / model / "1" / "model.py", folder / "model.py")
        for config in config_files(repository, model):
            set_versions(config, [1])


def install(source: ModelVersion, repository: Path) -> ModelVersion:
    """Copy a version into another model repository, under the next Triton version.

    It is not served yet.

    Returns:
        The version in that repository; if the same model is there already, that one.

    Raises:
        ConfigurationError: if it cannot be served beside the versions that are there, one of its
            JSON files cannot be used, or the same model is there with other such files.
        VersionMismatch: if such a file is of another version.
    """
    version = source.version()
    check_model_files(source)
    there = model_versions(repository)
    target = next((release for release in there if release.version() == version), None)
    if target is None:
        _check_fits(source, there)
        target = ModelVersion(repository, 1 + _last_triton_version(repository))
        for model in ORDER:
            if source.folder(model).exists() and (repository / model).exists():
                _copy(source, target, model)
    _refuse_other_files(source, target)
    # Also if it is there already: an earlier installation may have been interrupted before this.
    if target != source:
        for model in ORDER:
            _configure(source, target, model)
    return target


def uninstall(release: ModelVersion) -> None:
    """Remove a version that nothing serves, as if it had never been installed."""
    for model in ORDER:
        folder = release.folder(model)
        if folder.is_symlink():
            folder.unlink()
        else:
            shutil.rmtree(folder, ignore_errors=True)
        for config in config_files(release.repository, model):
            remove_parameters(config, release.triton_version)


def serve(repository: Path, triton_versions: Sequence[int]) -> None:
    """Set in every configuration which of the model's versions are served."""
    for model in MODELS:
        there = [
            triton_version
            for triton_version in triton_versions
            if ModelVersion(repository, triton_version).folder(model).exists()
        ]
        for config in config_files(repository, model) if there else ():
            set_versions(config, there)


def served_versions(repository: Path) -> list[int]:
    """Return the versions that the configurations say are served; raises ConfigurationError."""
    listed = {tuple(versions(config)): config for config in config_files(repository, IMAGE_ENCODER)}
    if len(listed) != 1:
        raise ConfigurationError(
            f"the configurations of {repository / IMAGE_ENCODER} do not agree on the versions that"
            f" are served: {', '.join(f'{config.name} {list(n)}' for n, config in listed.items())}"
        )
    return list(next(iter(listed)))


def check_model_files(release: ModelVersion) -> None:
    """Read the JSON files that come with a version as those do who answer with it.

    Raises:
        ConfigurationError: if one cannot be used.
        VersionMismatch: if one is of another version.
    """
    novelty = load_novelty(release.novelty)
    dimension = sys.maxsize if novelty is None else len(novelty.space.mean)
    triton_version = release.triton_version
    model = ModelInfo(release.version(), release.spec(), dimension, triton_version=triton_version)
    served_novelty(release.repository, model)
    served_calibration(release.repository, model)


def _refuse_other_files(source: ModelVersion, target: ModelVersion) -> None:
    for own, there in ((source.statements, target.statements), (source.novelty, target.novelty)):
        if own.is_file() and (not there.is_file() or own.read_bytes() != there.read_bytes()):
            raise ConfigurationError(
                f"{target.version()} is there already, without {own} as it is: nothing was copied;"
                f" put that file in place of {there}, and start the workers and the gateway anew"
            )


def _check_fits(source: ModelVersion, there: Sequence[ModelVersion]) -> None:
    """Refuse a version whose images or engines differ: one configuration holds for all versions."""
    for release in there:
        taken, wanted = release.spec().shape, source.spec().shape
        if taken != wanted:
            raise ConfigurationError(
                f"{source.version()} takes images of {wanted}, the versions in"
                f" {release.repository} of {taken}: serve it from a model repository of its own"
            )
        lacking = [model for model in _planned(release) if model not in _planned(source)]
        if lacking:
            raise ConfigurationError(
                f"{source.repository} has no {PLAN} for {', '.join(lacking)}, as version"
                f" {release.triton_version} has: run `cardex models build --repository"
                f" {source.repository}` on this kind of GPU first"
            )


def _planned(release: ModelVersion) -> list[str]:
    return [model for model in MODELS if (release.folder(model) / PLAN).is_file()]


def _last_triton_version(repository: Path) -> int:
    folders = (path for model in MODELS for path in (repository / model).glob("[0-9]*"))
    return max((int(path.name) for path in folders if path.name.isdigit()), default=0)


def _copy(source: ModelVersion, target: ModelVersion, model: str) -> None:
    folder = target.folder(model)
    if source.folder(model).is_symlink():
        folder.symlink_to(source.folder(model).readlink().parent / str(target.triton_version))
        return
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source.folder(model), partial, ignore=shutil.ignore_patterns("__pycache__"))
    partial.rename(folder)


def _configure(source: ModelVersion, target: ModelVersion, model: str) -> None:
    for config in config_files(target.repository, model):
        values = parameters(
            source.repository / model / "configs" / config.name, source.triton_version
        )
        set_parameters(config, target.triton_version, values)
