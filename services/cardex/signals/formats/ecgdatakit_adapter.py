"""The only module that runs the parsers of ecgdatakit: it maps their records and exceptions.

It also handles what ecgdatakit does not: units, the baseline of MUSE leads, sampling rates that are
no whole numbers, and gaps between the data records of EDF+.
"""

import logging
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from ecgdatakit.exceptions import UnsupportedFormatError
from ecgdatakit.models import ECGRecord, Lead
from ecgdatakit.parsing.parser import Parser

from cardex.domain.ecg import RecordingMetadata, Signal, Waveform
from cardex.domain.errors import InvalidEcg
from cardex.domain.leads import canonical
from cardex.signals.formats.limits import FILE, damaged, refuse_counts
from cardex.signals.formats.metadata import recording_metadata
from cardex.signals.leads import arrange, refuse_repeated

MILLIVOLTS = {"mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "v": 1e3, "nv": 1e-6}
MAX_GAP_S = 0.01

# ecgdatakit adds a number to a label that a record has a second time.
_AGAIN = re.compile(r"(.{1,40})_\d{1,3}")

# Its messages quote elements of the file, which may be names.
logging.getLogger("pydicom").addFilter(lambda _record: False)


@contextmanager
def guarded() -> Iterator[None]:
    """Turn any exception of a parser into InvalidEcg, and suppress its warnings.

    The exception is not chained, since its text may name the patient.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InvalidEcg:
        raise
    except UnsupportedFormatError:
        raise InvalidEcg(
            "a variant of its format that is not read", reason="NOT_AN_ECG", field=FILE
        ) from None
    except Exception as error:
        raise damaged(type(error).__name__) from None


def read_bytes(parser: Callable[[], Parser], content: bytes, subject_key: bytes) -> Waveform:
    """Parse the bytes of one file; they are written to a folder, since the parsers read paths."""
    with tempfile.TemporaryDirectory(prefix="cardex-ecg-") as folder:
        path = Path(folder) / "ecg"
        path.write_bytes(content)
        return read_path(parser, path, subject_key)


def read_path(parser: Callable[[], Parser], path: Path, subject_key: bytes) -> Waveform:
    """Parse a file in a folder, where its companions may be too."""
    with guarded():
        reader = parser()
        return to_waveform(reader.parse(path), reader.FORMAT_NAME, subject_key)


def to_waveform(record: ECGRecord, source: str, subject_key: bytes) -> Waveform:
    """Make a waveform of the record that a parser returns."""
    leads = [lead for lead in record.leads if canonical(lead.label)]
    refuse_counts(len(record.leads), sum(len(lead.samples) for lead in leads))
    labels = [lead.label for lead in record.leads]
    refuse_repeated((_AGAIN.sub(r"\1", label) for label in labels), field=FILE)
    _refuse_gaps(record.raw_metadata.get("record_onsets"), record.raw_metadata)
    rates = {_rate(record.raw_metadata, lead) for lead in leads}
    if len(rates) > 1:
        raise InvalidEcg(
            f"the leads have different rates: {sorted(rates)} Hz",
            reason="SAMPLING_RATE",
            field=FILE,
        )
    by_name: dict[str, Signal] = {lead.label: _millivolts(lead) for lead in leads}
    signal = arrange(by_name, field=FILE)
    return Waveform(signal, rates.pop(), source, _metadata(record, subject_key))


def millivolts_per(unit: str) -> float:
    """Return how many mV a unit is.

    Raises:
        InvalidEcg: if it is not V, mV, uV or nV.
    """
    scale = MILLIVOLTS.get(unit.strip().lower())
    if scale is None:
        raise InvalidEcg(
            "a lead has no unit, or another than V, mV, uV and nV", reason="UNIT", field=FILE
        )
    return scale


def _millivolts(lead: Lead) -> Signal:
    scale = millivolts_per(lead.resolution_unit if lead.is_raw else lead.units)
    samples = np.asarray(lead.samples, dtype=np.float64)
    # MUSE stores a baseline for each lead, which its parser does not subtract.
    baseline = float(lead.annotations.get("FirstSampleBaseline", "0").replace(",", "."))
    if baseline:
        samples = samples - baseline
    if lead.is_raw:
        samples = samples * (lead.resolution * scale) + lead.offset * scale
    else:
        samples = samples * scale
    return samples.astype(np.float32)


def _rate(raw: dict[str, Any], lead: Lead) -> float:
    """Return the exact rate of the file, Hz: the parsers round theirs to whole numbers."""
    groups = raw.get("multiplex_groups")
    stated = (
        raw.get("exact_sampling_rates", {}).get(lead.label),
        raw.get("rhythm_time", {}).get("sampling_rate_exact"),
        groups[0]["sampling_frequency"] if groups else None,
        1e6 / raw["rhythm_sample_interval_us"] if "rhythm_sample_interval_us" in raw else None,
        raw.get("sampling_frequency"),
    )
    rounded = float(lead.sampling_rate)
    exact = next((rate for rate in stated if rate is not None), rounded)
    return float(exact) if 1e-3 < abs(exact - rounded) <= 1.0 else rounded


def _refuse_gaps(onsets: list[float] | None, raw: dict[str, Any]) -> None:
    if onsets and len(onsets) > 1:
        steps = np.diff(onsets) - float(raw["record_duration"])
        if np.abs(steps).max() > MAX_GAP_S:
            raise InvalidEcg(
                "the recording has gaps between its data records: send a piece without",
                reason="DURATION",
                field=FILE,
            )


def _metadata(record: ECGRecord, subject_key: bytes) -> RecordingMetadata:
    device = record.recording.device
    date = record.recording.date
    statements = record.annotations.get("machine_interpretation", "").split("\n")
    if record.interpretation.source == "machine":
        statements = [": ".join(filter(None, pair)) for pair in record.interpretation.statements]
    return recording_metadata(
        device=(device.manufacturer, device.model),
        recorded_at=date.isoformat() if date else "",
        statements=statements,
        patient_id=record.patient.patient_id or "",
        subject_key=subject_key,
    )
