"""Different ECGs without end: the demo's real records, varied as hearts and electrodes vary."""

import numpy as np

from cardex.api.client import ecg_of_samples
from cardex.api.pb.v1 import ecg_pb2
from cardex.api.recordings import load, recordings
from cardex.domain.ecg import Signal, Waveform
from cardex.local_stack.dataset import DemoData
from cardex.signals.readers import read

SECONDS, RATE_HZ = 5.0, 500.0
STEP_MV = 0.001
RATES = (0.8, 1.25)
"""How much faster or slower a heart beats than in the record."""
GAINS = (0.8, 1.25)
"""How much larger or smaller a lead is: another axis, another chest."""
WANDER_MV = 0.1
NOISE_MV = 0.01


class Ecgs:
    """Windows of the CPSC-2018 records at other heart rates and amplitudes, as typed samples.

    Two that are taken are never equal, so that nothing is cached unless it is sent twice.
    """

    def __init__(self, data: DemoData, seed: int = 0, kinds: int = 1000) -> None:
        """Read the records.

        Args:
            data: the demo's data.
            seed: of the variations.
            kinds: how many variations there are; later ECGs are one of them, some microvolts apart.
        """
        self._records = [read(load(files)) for files in recordings(data.cpsc)]
        self._random = np.random.default_rng(seed)
        self._kinds = kinds
        self._varied: list[Signal] = []
        self._next = 0

    def take(self, count: int) -> list[ecg_pb2.Ecg]:
        """Return `count` ECGs of 5 s at 500 Hz that were never taken before."""
        return [self._one() for _ in range(count)]

    def _one(self) -> ecg_pb2.Ecg:
        lap, kind = divmod(self._next, self._kinds)
        self._next += 1
        if lap == 0:
            record = self._records[kind % len(self._records)]
            self._varied.append(varied(record, self._random))
        steps = self._varied[kind] + lap
        return ecg_of_samples(steps * STEP_MV, RATE_HZ, resolution=STEP_MV)


def varied(record: Waveform, random: np.random.Generator) -> Signal:
    """Return a window of a record at another heart rate, amplitude, baseline and noise.

    Returns:
        (12, samples) float32 at `RATE_HZ`, in whole steps of `STEP_MV`.
    """
    faster = random.uniform(*RATES)
    there = np.arange(record.signal.shape[1]) / record.rate
    wanted = np.arange(round(SECONDS * RATE_HZ)) / RATE_HZ
    spare = max(0.0, float(there[-1]) - faster * float(wanted[-1]))
    times = (random.uniform(0.0, spare) + faster * wanted) % float(there[-1])
    signal = np.stack([np.interp(times, there, row) for row in record.signal])
    signal *= random.uniform(*GAINS, size=(len(signal), 1))
    phase, period_s = random.uniform(0.0, 2.0 * np.pi), random.uniform(3.0, 6.0)
    signal += WANDER_MV * np.sin(2.0 * np.pi * wanted / period_s + phase)
    signal += random.normal(0.0, NOISE_MV, size=signal.shape)
    steps: Signal = np.rint(signal / STEP_MV).astype(np.float32)
    return steps
