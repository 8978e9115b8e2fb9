"""The image encoder in ONNX Runtime without Triton: the upper bound of the throughput."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime

from cardex.inference.probe import probe_image
from cardex.signals.image_spec import ImageSpec

BATCHES = (8, 16, 32)


class BareEncoder:
    """One single-thread session per core, each fed with its best batch."""

    def __init__(self, path: Path, spec: ImageSpec) -> None:
        """Open the sessions, and find the batch size at which they are fastest."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        cores = os.cpu_count() or 1
        self._sessions = [
            onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            for _ in range(cores)
        ]
        self._image = probe_image(spec.shape)
        self.batch = max(BATCHES, key=lambda batch: self._rate(batch, 1.5))

    def images_per_s(self, seconds: float = 4.0) -> float:
        """Return images/s of all cores together."""
        return self._rate(self.batch, seconds)

    def _rate(self, batch: int, seconds: float) -> float:
        images = np.repeat(self._image, batch, axis=0)
        deadline = time.perf_counter() + seconds

        def run(session: onnxruntime.InferenceSession) -> int:
            done = 0
            while time.perf_counter() < deadline:
                session.run(None, {"image": images})
                done += batch
            return done

        start = time.perf_counter()
        with ThreadPoolExecutor(len(self._sessions)) as pool:
            done = sum(pool.map(run, self._sessions))
        return done / (time.perf_counter() - start)
