"""Zipped recordings, unpacked in memory within limits that stop a zip bomb."""

import io
import re
import zipfile
import zlib

from cardex.domain.ecg import FilePart
from cardex.domain.errors import InvalidEcg

ZIP_MAGIC = b"PK\x03\x04"
MAX_FILES = 16
MAX_UNPACKED_BYTES = 48 * 1024 * 1024
MAX_ENTRIES = 256  # folders and what file managers add among them

_ENTRY_MAGIC = b"PK\x01\x02"
_SEPARATORS = re.compile(r"[/\\]")
_CHUNK_BYTES = 256 * 1024
# Of bzip2 and LZMA, zipfile unpacks all that it has read at once: 45 bytes may become 46 MB.
_BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

# What zipfile and its decompressors raise on damaged, encrypted or exotic archives.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, OSError,
    ValueError, LookupError,
)  # fmt: skip


def base_name(path: str) -> str:
    """Return the last part of a path whose separators are slashes or backslashes."""
    return _SEPARATORS.split(path)[-1]


def is_hidden(path: str) -> bool:
    """Tell whether a path names a hidden file, such as ".DS_Store" or "._rec.hea"."""
    return base_name(path).startswith(".")


def unpack(parts: tuple[FilePart, ...]) -> tuple[FilePart, ...]:
    """Return the files inside a single zip without hidden ones, or `parts` if it is no zip.

    Raises:
        InvalidEcg: if the zip is damaged, encrypted or over the limits.
    """
    if len(parts) != 1 or not parts[0].content.startswith(ZIP_MAGIC):
        return parts
    if parts[0].content.count(_ENTRY_MAGIC) > MAX_ENTRIES:
        raise _too_large(f"over {MAX_ENTRIES} entries in the zip")
    try:
        with zipfile.ZipFile(io.BytesIO(parts[0].content)) as archive:
            return tuple(_members(archive))
    except _DAMAGE as error:
        raise InvalidEcg(
            f"the zip cannot be read ({type(error).__name__}): is it complete, and not encrypted?",
            reason="TRUNCATED_ECG",
            field="ecg.file.content",
        ) from error


def _members(archive: zipfile.ZipFile) -> list[FilePart]:
    entries = [
        entry
        for entry in archive.infolist()
        if not entry.is_dir() and base_name(entry.filename) and not is_hidden(entry.filename)
    ]
    if len(entries) > MAX_FILES:
        raise _too_large(f"{len(entries)} files in the zip: at most {MAX_FILES}")
    members = []
    left = MAX_UNPACKED_BYTES
    for entry in entries:
        content = _content(archive, entry, left)
        left -= len(content)
        members.append(FilePart(base_name(entry.filename), content))
    return members


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int) -> bytes:
    if entry.compress_type not in _BOUNDED:
        raise _too_large("the zip is packed in another way than Deflate: pack it anew")
    content = bytearray()
    with archive.open(entry) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            content += chunk
            if len(content) > limit:  # counted, since the size in the directory may lie
                raise _too_large(f"the zip unpacks to over {MAX_UNPACKED_BYTES} bytes")
    return bytes(content)


def _too_large(message: str) -> InvalidEcg:
    return InvalidEcg(message, reason="ZIP_LIMIT", field="ecg.file.content")
