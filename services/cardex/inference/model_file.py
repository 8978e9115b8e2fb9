"""The JSON files that come with a model version, beside its graphs."""

import hashlib
import logging
from pathlib import Path
from typing import TypeVar

import msgspec

from cardex.domain.errors import ConfigurationError, VersionMismatch

logger = logging.getLogger(__name__)

T = TypeVar("T")


def read_model_file(path: Path, content: type[T], without: str) -> tuple[T, str] | None:
    """Read a file of a model version; None, with a warning in the log, if it does not exist.

    Args:
        path: the file.
        content: what the JSON is of.
        without: what answers lack where there is no such file, for the log.

    Returns:
        The content, and the SHA-256 of the file.

    Raises:
        ConfigurationError: if the file cannot be read or has other content.
    """
    try:
        found = path.read_bytes()
        return msgspec.json.decode(found, type=content), hashlib.sha256(found).hexdigest()
    except FileNotFoundError:
        logger.warning("%s: there is no %s", without, path)
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise wrong_model_file(path, str(error)) from error


def require_version(path: Path, found: str, version: str) -> None:
    """Raise VersionMismatch, which names both, if a file is of another version than the model's."""
    if found != version:
        raise VersionMismatch(
            f"{path} belongs to model {found}, beside it is {version}: install the file that came"
            " with the model"
        )


def wrong_model_file(path: Path, reason: str) -> ConfigurationError:
    """Return the error of a file that cannot be used, with the remedy."""
    return ConfigurationError(
        f"cannot use {path}: {reason}; install the file that came with the model, or export it anew"
    )
