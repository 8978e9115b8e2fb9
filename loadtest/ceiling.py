"""`make bench-ceiling`: measures the whole way with an image encoder that costs nothing.

What is left is the ceiling of everything around the encoder. A copy of the model repository answers
with stored embeddings of real ECGs, under the same names, tensors, version and probe, so that every
other process runs as it is. Rounds alternate with the real encoder.
"""

import argparse
import shutil
import statistics
import time
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cardex.api.convert.ecg import from_payload, to_payload
from cardex.api.pb.v1 import ecg_pb2
from cardex.domain.ecg import Image
from cardex.domain.jobs import Priority
from cardex.domain.settings import load_settings
from cardex.inference.probe import probe_image
from cardex.inference.repository import IMAGE_ENCODER, newest
from cardex.local_stack.dataset import fetch
from cardex.reports.ptbxl import distinct_reports
from cardex.signals.image_spec import ImageSpec
from cardex.signals.images import image_of
from cardex.signals.readers import read
from loadtest.ecgs import Ecgs
from loadtest.files import WfdbFiles
from loadtest.peers.ways import Batches, CardexWay
from loadtest.peers.work import OnnxEncoder
from loadtest.processes import CpuMeter
from loadtest.report import publish

STORED = 256
"""Embeddings that answers are picked from: as many ECGs, so that hits differ."""
RECORDS = 640
ROUNDS = 3
STUB = Path(__file__).parent / "stored_model.py"
REAL, WITHOUT = "with the encoder", "without"


def stored_repository(repository: Path, folder: Path, images: Image) -> Path:
    """Copy a model repository, and let its image encoder answer with stored embeddings.

    Args:
        repository: the model repository; its newest version is changed.
        folder: is made.
        images: (B, H, W, C) uint8, whose embeddings are stored.

    Returns:
        The folder.
    """
    encoder = OnnxEncoder(newest(repository))
    (model,) = encoder.models()
    probe = probe_image(model.image_spec.shape)
    known = np.concatenate([probe, images])
    vectors = [encoder.embed_images(model, image[None], Priority.ROUTINE)[0] for image in known]
    shutil.copytree(repository, folder, symlinks=True)
    version = newest(folder).folder(IMAGE_ENCODER)
    shutil.copyfile(STUB, version / "model.py")
    np.savez(version / "stored.npz", vectors=np.stack(vectors), probe=probe)
    return folder


def _images(ecgs: list[ecg_pb2.Ecg], spec: ImageSpec) -> Image:
    return np.stack([image_of(read(from_payload(to_payload(ecg))), spec) for ecg in ecgs])


def _measured(target: Batches, ecgs: list[ecg_pb2.Ecg]) -> dict[str, float]:
    """Return records/s, and each process's CPU time a record, ms of one core."""
    requests = target.requests(ecgs)
    start = time.perf_counter()
    with CpuMeter(target.pids) as meter:
        target.answers(requests)
    seconds = time.perf_counter() - start
    per_record = {f"{name}, core-ms": cpu / len(ecgs) * 1000 for name, cpu in meter.seconds.items()}
    return {"records/s": len(ecgs) / seconds} | per_record


def measure(rounds: int, records: int) -> dict[str, float]:
    """Measure both in every round; returns the medians by name."""
    settings = load_settings()
    data = fetch(settings.data_dir / "data", print)
    ecgs, reports = Ecgs(data), distinct_reports(data.ptbxl)
    found: defaultdict[str, list[float]] = defaultdict(list)
    with TemporaryDirectory(prefix="cardex-ceiling-") as name:
        folder = Path(name)
        images = _images(WfdbFiles(data).take(STORED), newest(settings.model_repository).spec())
        stored = stored_repository(settings.model_repository, folder / "models", images)
        without = settings.model_copy(update={"model_repository": stored})
        ways = [CardexWay(settings, reports, REAL), CardexWay(without, reports, WITHOUT)]
        for _ in range(rounds):
            for number, way in enumerate(ways):
                with way.running(folder / str(number)) as target:
                    target.answers(target.requests(ecgs.take(max(64, records // 4))))  # warm
                    for figure, value in _measured(target, ecgs.take(records)).items():
                        found[f"{figure}, {way.name}"].append(value)
    figures = {figure: statistics.median(values) for figure, values in found.items()}
    pairs = zip(*(found[f"records/s, {way}"] for way in (WITHOUT, REAL)), strict=True)
    return figures | {"ratio of the records/s": statistics.median(a / b for a, b in pairs)}


def main() -> None:
    """Print the figures, and write them to loadtest/results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--records", type=int, default=RECORDS)
    options = parser.parse_args()
    publish("bench-ceiling", measure(options.rounds, options.records), {})


if __name__ == "__main__":
    main()
