"""Saves a training's state atomically, and loads it if it belongs to the same training."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from cardex.domain.errors import CardexError


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Replace `path` atomically: the last good checkpoint stays until the new one is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        torch.save(dict(state), draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def load(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """Read a checkpoint; None if it does not exist.

    Args:
        path: the file.
        fingerprint: identifies recipe and data; must be the one that was saved.

    Raises:
        CardexError: if the file is damaged, or belongs to another recipe or other data.
    """
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found = state["fingerprint"]
    except Exception as error:  # torch raises half a dozen types for half a file
        raise CardexError(
            f"checkpoint {path} is damaged ({type(error).__name__}): delete it to begin this stage"
            " anew"
        ) from error
    if found != fingerprint:
        raise CardexError(
            f"checkpoint {path} belongs to another recipe or other data: choose another --work,"
            " or delete it to begin this stage anew"
        )
    return state
