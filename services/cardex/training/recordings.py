"""The waveforms that training images are drawn from."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import Signal
from cardex.evaluation.ecgs import Ecgs
from cardex.signals.image_spec import ImageSpec
from cardex.signals.images import beats_of, windows_of
from cardex.training.stage import hash_parts


@dataclass(frozen=True)
class Recordings:
    """ECGs as an image needs them: whole records, or the beats of each.

    Attributes:
        spec: the image.
        signals: (records or beats, 12, samples) float32, mV; an ECG's beats follow each other.
        calibrated: (ECGs,) bool, False where the unit of the amplitudes is unknown.
        first: (ECGs + 1,) int64, the row of each ECG's first signal, and the number of rows.
    """

    spec: ImageSpec
    signals: Signal
    calibrated: NDArray[np.bool_]
    first: NDArray[np.int64]

    @classmethod
    def of(cls, ecgs: Ecgs, spec: ImageSpec) -> "Recordings":
        """Return whole records for an image of the rhythm, every beat for one of a single beat."""
        signals = ecgs.filtered_for(spec)
        if spec.source == "rhythm":
            return cls.whole(signals, ecgs.calibrated, spec)
        if spec.source == "median-beat":
            return cls.whole(windows_of(signals, spec), ecgs.calibrated, spec)
        beats = [beats_of(signal, spec) for signal in signals]
        first = np.cumsum([0, *map(len, beats)])
        return cls(spec, np.concatenate(beats), ecgs.calibrated, first)

    @classmethod
    def whole(cls, signals: Signal, calibrated: NDArray[np.bool_], spec: ImageSpec) -> "Recordings":
        """Return recordings of one signal for each ECG."""
        return cls(spec, signals, calibrated, np.arange(len(signals) + 1))

    def __len__(self) -> int:
        """Return the number of ECGs."""
        return len(self.calibrated)

    def pick(self, ecgs: NDArray[np.int64], random: np.random.Generator) -> Signal:
        """Return a signal of each of the ECGs (B,), one of its beats at random: (B, 12, n)."""
        count = self.first[ecgs + 1] - self.first[ecgs]
        return self.signals[self.first[ecgs] + (random.random(len(ecgs)) * count).astype(np.int64)]

    @cached_property
    def key(self) -> str:
        """Hash of the waveforms, part of the keys of all stages that learn from them."""
        return hash_parts(self.signals.tobytes(), self.calibrated.tobytes(), self.first.tobytes())


def key_of(views: Sequence[Recordings]) -> str:
    """Return the key of the waveforms of all images of the ECGs."""
    return views[0].key if len(views) == 1 else hash_parts(*(view.key for view in views))
