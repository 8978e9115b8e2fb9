"""ECG messages, made of files or of an array."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from cardex.api.packing import lead_message
from cardex.api.pb.v1 import ecg_pb2
from cardex.api.recordings import load
from cardex.domain.ecg import LEADS
from cardex.domain.errors import InvalidEcg, PayloadTooLarge


def ecg_of_files(paths: Sequence[Path]) -> ecg_pb2.Ecg:
    """Return the message of one recording: one file, or a header and its signal files.

    Raises:
        InvalidEcg: if a file cannot be read, or they are too large together.
    """
    first, *rest = load(paths)
    companions = [
        ecg_pb2.CompanionFile(name=_utf8(part.name), content=part.content) for part in rest
    ]
    file = ecg_pb2.ClinicalFile(
        name=_utf8(first.name), content=first.content, companions=companions
    )
    return ecg_pb2.Ecg(file=file)


def sized_ecg_of_files(paths: Sequence[Path], max_bytes: int) -> ecg_pb2.Ecg:
    """Return the message of one recording; one that no message can carry is refused here.

    Raises:
        InvalidEcg: if a file cannot be read.
        PayloadTooLarge: if the message has more than `max_bytes`, which would break a stream.
    """
    ecg = ecg_of_files(paths)
    if ecg.ByteSize() > max_bytes:
        raise PayloadTooLarge(
            f"{paths[0].name} has {ecg.ByteSize()} bytes: at most {max_bytes}"
            " (CARDEX_MAX_PAYLOAD_BYTES, here and at the gateway)",
            field="ecg",
        )
    return ecg


def ecg_of_samples(
    signal: ArrayLike,
    rate_hz: float,
    leads: Sequence[str] = LEADS,
    resolution: float | None = None,
) -> ecg_pb2.Ecg:
    """Return the message of an array; in half of the bytes where that loses nothing.

    Args:
        signal: (leads, samples) in mV.
        rate_hz: samples per second.
        leads: name of each row; at least I, II and V1 to V6.
        resolution: one step of the samples in mV, where the caller knows it; the usual ones are
            found.

    Raises:
        InvalidEcg: if the array has another shape.
    """
    try:
        rows = np.asarray(signal, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidEcg(
            "the samples are no array of numbers, a row for each lead",
            reason="LEAD_SET",
            field="ecg.samples.leads",
        ) from error
    if rows.ndim != 2 or len(rows) != len(leads):
        raise InvalidEcg(
            f"the array has shape {rows.shape}: must be ({len(leads)}, samples), a row for each of"
            f" {', '.join(leads)}",
            reason="LEAD_SET",
            field="ecg.samples.leads",
        )
    named = [lead_message(name, row, resolution) for name, row in zip(leads, rows, strict=True)]
    unit = ecg_pb2.VOLTAGE_UNIT_MILLIVOLT
    return ecg_pb2.Ecg(samples=ecg_pb2.Samples(leads=named, rate_hz=rate_hz, unit=unit))


def _utf8(name: str) -> str:
    """Return a file's name without the bytes that are no UTF-8, which no message carries."""
    return name.encode("utf-8", "replace").decode()
