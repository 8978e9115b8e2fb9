"""Where `cardex index` is, kept in a file so that a second call goes on there."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cardex.api.case_sender import SHOWN_REASONS, Sent
from cardex.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Place:
    """How far the filing of a source came.

    Attributes:
        index: name of the index that is filled.
        cases: how many of the source's cases are done.
        without_ecg: how many of them were filed without their ECG, which cannot be used.
        refused: how many were not filed.
        reasons: why, of some.
    """

    index: str
    cases: int = 0
    without_ecg: int = 0
    refused: int = 0
    reasons: tuple[str, ...] = ()

    def after(self, sent: Sent) -> "Place":
        """Return the place after what a call has sent so far from here."""
        return Place(
            self.index,
            self.cases + sent.cases,
            self.without_ecg + sent.without_ecg,
            self.refused + sent.refused,
            (*self.reasons, *sent.reasons)[:SHOWN_REASONS],
        )


class IndexingPlace:
    """How far an earlier call came with the same source."""

    def __init__(self, folder: Path, source: Path, *, merge: bool) -> None:
        """Keep the place in `folder`, under a name that source and mode make.

        Args:
            folder: it is made where it is missing.
            source: the folder or file that is indexed; another content is another source.
            merge: whether the index in force is added to.
        """
        told = f"{source.resolve()}|{_stamp(source)}|{merge}"
        self._path = folder / f"{hashlib.sha256(told.encode()).hexdigest()[:16]}.json"

    def read(self) -> Place | None:
        """Return how far an earlier call came; None where there is none."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Place)
        except (OSError, msgspec.MsgspecError):
            return None

    def write(self, place: Place) -> None:
        """Keep how far it came.

        Raises:
            ConfigurationError: if the file cannot be written.
        """
        part = self._path.with_suffix(".part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(msgspec.json.encode(place))
            part.replace(self._path)
        except OSError as error:
            raise ConfigurationError(
                f"cannot keep the place of the indexing in {self._path}: {error.strerror}; set"
                " CARDEX_DATA_DIR to a folder that can be written to"
            ) from error

    def remove(self) -> None:
        """Forget it: all is done."""
        self._path.unlink(missing_ok=True)


def _stamp(source: Path) -> str:
    """Return what changes where the table of a source does."""
    table = source / "ptbxl_database.csv" if source.is_dir() else source
    try:
        stat = table.stat()
    except OSError:
        return ""
    return f"{stat.st_size}|{stat.st_mtime_ns}"
