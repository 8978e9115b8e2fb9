"""Published checksums: which files a data set has, and what each must hold."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cardex.domain.errors import ConfigurationError

_LINE = re.compile(r"([0-9a-fA-F]{64})\s+\*?(\S(?:.*\S)?)\s*")
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A file of a data set.

    Attributes:
        path: relative to the data set's folder, inside of it.
        sha256: of its content, in hex.
    """

    path: PurePosixPath
    sha256: str

    def is_whole(self, copy: Path) -> bool:
        """Tell whether a file is there and holds what was published."""
        return copy.is_file() and sha256_of(copy) == self.sha256


def parse_checksums(text: str, source: str) -> list[PublishedFile]:
    """Read lines of a SHA-256 and a path, as sha256sum writes them.

    Args:
        text: the lines.
        source: where they come from, for the message of an error.

    Raises:
        ConfigurationError: naming the first line that has another form, or whose path leaves the
            folder.
    """
    found = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        matched = _LINE.fullmatch(line)
        if matched is None:
            raise ConfigurationError(
                f"{source}, line {number}: needs a SHA-256 and a path; is this the address of a"
                " data set?"
            )
        path = _inside(matched[2], f"{source}, line {number}")
        found[path] = PublishedFile(path, matched[1].lower())
    return list(found.values())


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as content:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def top_level_or_below(files: Iterable[PublishedFile], *folders: str) -> list[PublishedFile]:
    """Return the files that lie in no folder, and those below the named ones."""
    return [file for file in files if len(file.path.parts) == 1 or file.path.parts[0] in folders]


def _inside(name: str, where: str) -> PurePosixPath:
    """Return a path that stays in its folder on every system; "." in it means nothing."""
    path = PurePosixPath(name)
    odd = not name.isprintable() or "\\" in name or ":" in name
    if odd or path.is_absolute() or ".." in path.parts or not path.parts:
        raise ConfigurationError(
            f"{where}: the path {name[:80]!r} leaves the folder of the data set: nothing was"
            " fetched; use the official address"
        )
    return path
