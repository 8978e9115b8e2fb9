"""Data sets for training and evaluation: PTB-XL in its official layout, or a manifest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cardex.domain.errors import CardexError
from cardex.evaluation.ecgs import Ecgs, load, tell_left_out
from cardex.evaluation.manifest import read_manifest, read_signal
from cardex.reports.ptbxl import (
    DUPLICATES,
    Record,
    StatementKind,
    read_kinds,
    read_records,
    read_representative,
)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set.

    Attributes:
        records: every record with a report, with or without a waveform.
        ecgs: the records that have a waveform, and the waveforms.
        kinds: statement code to description and classes.
        representative: ids of the ECGs that stand for the whole data set, where only a part of it
            is there; empty where nothing is known of it.
    """

    records: list[Record]
    ecgs: Ecgs
    kinds: Mapping[str, StatementKind]
    representative: frozenset[int] = frozenset()

    @property
    def descriptions(self) -> dict[str, str]:
        """Statement code to its description."""
        return {code: kind.description for code, kind in self.kinds.items()}


def open_dataset(path: Path, cache: Path | None = None) -> Dataset:
    """Open PTB-XL's folder or a manifest's CSV file, without the ECGs that cannot be used.

    Args:
        path: the folder or the file.
        cache: folder that keeps PTB-XL's cleaned waveforms for the next time; None to keep none.

    Raises:
        InvalidReport: if the table or all waveforms are missing, or cannot be used; the message
            names which.
    """
    if path.is_file():
        return _manifest(path)
    records = [r for r in read_records(path) if r.ecg_id not in DUPLICATES]
    return Dataset(
        records=[record for record in records if record.text],
        ecgs=load(path, records, cache),
        kinds=read_kinds(path),
        representative=read_representative(path),
    )


def carried(records: Sequence[Record], codes: Sequence[str]) -> NDArray[np.bool_]:
    """Return (records, codes): whether the record carries the statement.

    A record without codes carries none, though its statements are not known: `Record.coded` tells.
    """
    return np.array(
        [[code in record.codes for code in codes] for record in records], dtype=np.bool_
    )


def _manifest(path: Path) -> Dataset:
    records, signals, bad = [], [], []
    for record in read_manifest(path):
        try:
            signals.append(read_signal(path.parent, record))
            records.append(record)
        except CardexError as error:
            bad.append(error.message)
    tell_left_out(path, bad, len(bad) + len(records))
    codes = {code for record in records for code in record.codes}
    kinds = {code: StatementKind(code, "", "", False, False) for code in sorted(codes)}
    ecgs = Ecgs(records, np.stack(signals), np.ones(len(records), dtype=np.bool_))
    return Dataset(records, ecgs, kinds)
