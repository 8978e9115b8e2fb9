"""Clinical files as a benchmark needs them: valid, of real ECGs, and no two alike."""

from io import BytesIO

import numpy as np
from pydicom import dcmread

from cardex.api.pb.v1 import ecg_pb2
from cardex.api.recordings import load, recordings
from cardex.domain.ecg import LEADS, FilePart, Waveform
from cardex.local_stack.dataset import DemoData
from cardex.signals.readers import read

STEP = 7
"""Samples by which each next record begins later."""
WFDB_SECONDS, DICOM_SECONDS = 10.0, 9.0


def wfdb_of(waveform: Waveform, name: str = "rec") -> tuple[FilePart, ...]:
    """Return a record as PTB-XL stores it: 16 bit, 1 uV a step, header and signal file."""
    steps = np.rint(waveform.signal.T * 1000.0).astype("<i2")
    lines = [f"{name} 12 {waveform.rate:g} {len(steps)}"]
    lines += [
        f"{name}.dat 16 1000.0(0)/mV 16 0 {steps[0, i]} 0 0 {lead}" for i, lead in enumerate(LEADS)
    ]
    header = "\n".join(lines) + "\n"
    return FilePart(f"{name}.hea", header.encode()), FilePart(f"{name}.dat", steps.tobytes())


class WfdbFiles:
    """Different WFDB records without end: windows of the CPSC-2018 records."""

    def __init__(self, data: DemoData) -> None:
        """Read the records."""
        self._signals = [read(load(files)) for files in recordings(data.cpsc)]
        self._next = 0

    def take(self, count: int) -> list[ecg_pb2.Ecg]:
        """Return `count` ECGs of at most 10 s at 500 Hz that were never taken before."""
        return [_message(self._one()) for _ in range(count)]

    def _one(self) -> tuple[FilePart, ...]:
        number, self._next = self._next, self._next + 1
        lap, index = divmod(number, len(self._signals))
        waveform = self._signals[index]
        signal = cut(waveform.signal, round(WFDB_SECONDS * waveform.rate), number)
        # One microvolt more per lap keeps every file different.
        return wfdb_of(Waveform(signal + np.float32(0.001 * lap), waveform.rate))


class DicomFiles:
    """Different DICOM files without end: pydicom's 12-lead ECG, cut at other places."""

    def __init__(self, data: DemoData) -> None:
        """Read the file."""
        self._file = dcmread(data.dicom)
        group = self._file.WaveformSequence[0]  # the rhythm, before the median beat
        self._rate = float(group.SamplingFrequency)
        steps = np.frombuffer(group.WaveformData, dtype="<i2")
        self._steps = steps.reshape(-1, group.NumberOfWaveformChannels).T  # (12, samples)
        self._next = 0

    def take(self, count: int) -> list[ecg_pb2.Ecg]:
        """Return `count` ECGs of 9 s at 1000 Hz that were never taken before."""
        return [_message((FilePart("", self._one()),)) for _ in range(count)]

    def _one(self) -> bytes:
        number, self._next = self._next, self._next + 1
        width = round(DICOM_SECONDS * self._rate)
        steps = cut(self._steps, width, number) + np.int16(number)  # an offset, so all differ
        group = self._file.WaveformSequence[0]
        group.WaveformData = np.ascontiguousarray(steps.T, dtype="<i2").tobytes()
        group.NumberOfWaveformSamples = width
        written = BytesIO()
        self._file.save_as(written, enforce_file_format=True)
        return written.getvalue()


def cut(signal: np.ndarray, width: int, number: int) -> np.ndarray:
    """Return `width` of (leads, samples), from another place for each number; less if shorter."""
    spare = signal.shape[1] - width
    start = (number * STEP) % spare if spare > 0 else 0
    return signal[:, start : start + width]


def _message(parts: tuple[FilePart, ...]) -> ecg_pb2.Ecg:
    first, *rest = parts
    companions = [ecg_pb2.CompanionFile(name=part.name, content=part.content) for part in rest]
    file = ecg_pb2.ClinicalFile(name=first.name, content=first.content, companions=companions)
    return ecg_pb2.Ecg(file=file)
