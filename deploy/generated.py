"""Files that a program writes and the repository keeps."""

from collections.abc import Mapping
from pathlib import Path


def kept(texts: Mapping[Path, str], *, check: bool) -> int:
    """Write files; or, to check them, say which are not what would be written.

    Returns:
        1 where a check found one, else 0.
    """
    stale = [path for path, text in texts.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if check:
            print(f"{path} is not what its program writes: run it without --check")
        else:
            path.write_text(texts[path])
    return 1 if check and stale else 0
