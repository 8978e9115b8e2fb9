"""Metadata of a recording, without anything that names the patient."""

import hashlib
import re
from collections.abc import Iterable

from cardex.domain.ecg import RecordingMetadata

MAX_STATEMENTS = 64
MAX_TEXT = 200

_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]+")
# Carts write these if they know no patient: files with them must not count as one person's.
_NOBODY = frozenset(
    ("", "x", "?", "-", "---", "unk", "unknown", "none", "null", "na", "n/a", "anonymous",
     "anonymized", "anonymised", "anon")
)  # fmt: skip


def recording_metadata(
    *,
    device: Iterable[str] = (),
    recorded_at: str = "",
    statements: Iterable[str] = (),
    patient_id: str = "",
    subject_key: bytes = b"",
) -> RecordingMetadata:
    """Make metadata of raw texts, trimmed and bounded, with the patient only as a keyed hash.

    Args:
        device: manufacturer and model, as far as they are known.
        recorded_at: local time of the recording, ISO 8601.
        statements: the machine's own interpretation, line by line.
        patient_id: the patient's id as it stands in the file.
        subject_key: key of the hash; without it no subject is kept.
    """
    lines = [line for line in map(_clean, statements) if line]
    return RecordingMetadata(
        device=" ".join(dict.fromkeys(part for part in map(_clean, device) if part)),
        recorded_at=recorded_at,
        statements=tuple(lines[:MAX_STATEMENTS]),
        subject=subject(patient_id, subject_key),
    )


def subject(patient_id: str, key: bytes) -> str:
    """Hash a patient's id: 32 hex digits, or "" without a key or a real id."""
    name = _UNPRINTABLE.sub(" ", patient_id).strip()
    if not key or name.lower() in _NOBODY or not name.strip("0"):
        return ""
    if len(key) > hashlib.blake2b.MAX_KEY_SIZE:
        key = hashlib.blake2b(key).digest()
    return hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=16, key=key).hexdigest()


def _clean(text: str) -> str:
    return _UNPRINTABLE.sub(" ", text[: 4 * MAX_TEXT]).strip()[:MAX_TEXT]
