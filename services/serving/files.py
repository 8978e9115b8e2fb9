"""Files that others read while they are written: each appears whole or not at all."""

import os
import shutil
from pathlib import Path


def replace(path: Path, content: bytes) -> None:
    """Write a file beside itself, and put it in its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(content)
        if path.exists():
            shutil.copymode(path, draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
