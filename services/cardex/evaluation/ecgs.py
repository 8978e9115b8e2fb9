"""Waveforms of PTB-XL or of a manifest, read and cleaned once for many experiments."""

import hashlib
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import EcgInput, FilePart, Signal, Waveform
from cardex.domain.errors import CardexError, ConfigurationError, InvalidEcg, InvalidReport
from cardex.reports.ptbxl import Record
from cardex.signals import calibration_pulse, checks, cleaning, leads, readers, windows
from cardex.signals.cleaning import MONITORING, clean, narrow, seconds_to_samples
from cardex.signals.formats import limits, wfdb, wfdb_header
from cardex.signals.image_spec import ImageSpec
from cardex.signals.readers import read
from cardex.signals.windows import best_window

logger = logging.getLogger(__name__)

EXTRA = "zscored_100hz_int16_x1000.npz"
RATE = 100.0
SAMPLES = 1000
LEFT_OUT_S = 0.1
"""Length of the end of every PTB-XL record that is left out, in seconds: where 100 Hz records were
made from those of 500 Hz, their last ten samples differ from the official files'."""
KEPT = SAMPLES - seconds_to_samples(LEFT_OUT_S, RATE)
SHOWN = 10
"""How many of the ECGs that are left out are named."""

_DECIDING = (
    readers, wfdb, wfdb_header, limits, leads, checks, calibration_pulse, cleaning, windows,
)  # fmt: skip
"""Modules that decide, besides this one, what a cleaned waveform is."""


@dataclass(frozen=True, slots=True)
class Ecgs:
    """Records with a waveform.

    Attributes:
        records: the records, in the order of the signals.
        signals: (records, 12, samples) float32, mV, cleaned, 100 Hz: 990 samples of a PTB-XL
            record, the last 0.1 s of which is left out, 1000 of a manifest's.
        calibrated: (records,) bool, whether the signal is in mV. It is False for PTB-XL's extra
            records, which were z-scored lead by lead: their amplitudes are lost, and only images
            that normalise each lead may be made of them.
    """

    records: list[Record]
    signals: Signal
    calibrated: NDArray[np.bool_]

    def of_folds(self, folds: Sequence[int]) -> "Ecgs":
        """Return the records of `folds`."""
        return self.rows([i for i, record in enumerate(self.records) if record.fold in folds])

    def filtered_for(self, spec: ImageSpec) -> Signal:
        """Return the signals as an image needs them: (records, 12, samples) float32, mV.

        Raises:
            ValueError: if the image has another sampling rate, or a band that is not within the
                one that the signals have passed.
        """
        if spec.rate != RATE:
            raise ValueError(f"rate {spec.rate:g}: these signals have {RATE:g} Hz")
        if spec.filter == MONITORING:
            return self.signals
        return np.stack(
            [narrow(Waveform(signal, RATE), RATE, spec.filter) for signal in self.signals]
        )

    def rows(self, keep: Sequence[int]) -> "Ecgs":
        """Return the records in the rows `keep`, in that order."""
        rows = np.array(keep, dtype=np.int64)
        return Ecgs([self.records[row] for row in rows], self.signals[rows], self.calibrated[rows])


def load(folder: Path, records: Sequence[Record], cache: Path | None = None) -> Ecgs:
    """Load those of PTB-XL's `records` that have a 100 Hz waveform in `folder`.

    Records whose waveform is no usable ECG are left out; warnings name them.

    Raises:
        InvalidReport: if the folder holds no waveform at all, or no usable one.
    """
    present = [r for r in records if (folder / f"{r.path}.hea").is_file()]
    extra_ids, extra = _read_extra(folder / EXTRA)
    known = {r.ecg_id: r for r in records}
    extra_keep = [i for i, ecg_id in enumerate(extra_ids) if ecg_id in known]
    logger.info(
        "%d of %d records have a waveform, %d more as z-scores",
        len(present), len(records), len(extra_keep),
    )  # fmt: skip
    if not present:
        raise InvalidReport(f"{folder} has no waveform under records100/")
    signals, bad = _cached(present, folder, cache)
    tell_left_out(folder, bad, len(present))
    if bad:
        usable = np.flatnonzero(_usable(signals)).tolist()
        present, signals = [present[row] for row in usable], signals[usable]
    return Ecgs(
        records=present + [known[int(extra_ids[i])] for i in extra_keep],
        signals=np.concatenate([signals, extra[extra_keep]]),
        calibrated=np.arange(len(present) + len(extra_keep)) < len(present),
    )


def tell_left_out(source: Path, bad: Sequence[str], count: int) -> None:
    """Warn of the ECGs of a data set that cannot be read and are left out.

    Args:
        source: the data set's folder or file.
        bad: what is wrong with each of them; it names the ECG's file.
        count: number of all ECGs.

    Raises:
        InvalidReport: if none is left.
    """
    if not bad:
        return
    for message in bad[:SHOWN]:
        logger.warning("%s", message)
    if len(bad) == count:
        raise InvalidReport(f"{source}: none of its {count} ECG files can be read: {bad[0]}")
    logger.warning("%d of %d ECGs cannot be read and are left out", len(bad), count)


def _cached(
    records: Sequence[Record], folder: Path, cache: Path | None
) -> tuple[Signal, list[str]]:
    """Return what `_read_all` does, from the cache where it has the records.

    Records that could not be used are read each time, since their files may have been mended.
    """
    if cache is None:
        return _read_all(records, folder)
    ids = repr([r.ecg_id for r in records]).encode()
    key = hashlib.sha256(_code() + ids).hexdigest()[:12]
    path = cache / f"signals-{key}.npy"
    if path.is_file():
        signals = np.asarray(np.load(path), dtype=np.float32)
        again = np.flatnonzero(~_usable(signals)).tolist()
        signals[again], bad = _read_all([records[row] for row in again], folder)
        return signals, bad
    signals, bad = _read_all(records, folder)
    # An interrupted write must not look complete, and two processes may write at once.
    part = path.with_suffix(f".{os.getpid()}.npy")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        np.save(part, signals)
        part.replace(path)
    except OSError as error:
        raise ConfigurationError(f"cannot keep waveforms in {cache}: {error}") from error
    return signals, bad


@lru_cache(maxsize=1)
def _code() -> bytes:
    """Return a hash of the source code that reads and cleans: 32 bytes.

    The settings of cleaning are constants and defaults of that code.
    """
    files = [Path(__file__), *(Path(str(module.__file__)) for module in _DECIDING)]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).digest()


def _read_all(records: Sequence[Record], folder: Path) -> tuple[Signal, list[str]]:
    """Read and clean records of PTB-XL.

    Returns:
        (records, 12, 990) float32, mV, NaN for records that cannot be used, and what is wrong with
        each of those.
    """

    def read_or_tell(record: Record) -> Signal | str:
        try:
            return read_record(folder, record)
        except CardexError as error:
            return error.message

    signals, bad = np.full((len(records), 12, KEPT), np.nan, dtype=np.float32), []
    with ThreadPoolExecutor(2) as pool:
        for row, found in enumerate(pool.map(read_or_tell, records)):
            if isinstance(found, str):
                bad.append(found)
            else:
                signals[row] = found
    return signals, bad


def _usable(signals: Signal) -> NDArray[np.bool_]:
    """Return which signals `_read_all` could read: (records,)."""
    return ~np.isnan(signals[:, 0, 0])


def read_record(folder: Path, record: Record) -> Signal:
    """Read and clean one record of PTB-XL, without its last 0.1 s: (12, 990) float32, mV.

    Raises:
        InvalidReport: if one of its files is missing.
        InvalidEcg: if they are not a usable ECG; the message names it.
    """
    stem = folder / record.path
    try:
        parts = tuple(
            FilePart(stem.with_suffix(suffix).name, stem.with_suffix(suffix).read_bytes())
            for suffix in (".hea", ".dat")
        )
    except OSError as error:
        raise InvalidReport(f"{stem} cannot be read: {error.strerror}") from error
    try:
        return _without_end(read(parts))
    except InvalidEcg as error:
        raise InvalidEcg(f"{stem}: {error.message}", reason=error.reason, field="file") from error


def _without_end(waveform: Waveform) -> Signal:
    """Clean a record without its last 0.1 s: (12, 990) float32, mV; raises InvalidEcg."""
    end = waveform.signal.shape[1] - seconds_to_samples(LEFT_OUT_S, waveform.rate)
    kept = replace(waveform, signal=waveform.signal[:, :end])
    return best_window(clean(kept, RATE), KEPT, RATE)


def read_parts(parts: EcgInput) -> Signal:
    """Read and clean an ECG's files: (12, 1000) float32, mV; raises InvalidEcg."""
    return best_window(clean(read(parts), RATE), SAMPLES, RATE)


def _read_extra(path: Path) -> tuple[NDArray[np.int64], Signal]:
    if not path.is_file():
        return np.empty(0, np.int64), np.empty((0, 12, KEPT), np.float32)
    with np.load(path) as stored:
        signals = stored["x"][:, :KEPT].transpose(0, 2, 1).astype(np.float32) / 1000.0
        return stored["ecg_id"].astype(np.int64), np.ascontiguousarray(signals)
