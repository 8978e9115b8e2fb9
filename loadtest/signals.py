"""`make bench-signals`: measures each step from an ECG's bytes to its image, on one core.

Every step runs over different real records, because a repeated record would be faster: the
processor's branch predictor learns it. Each figure is the median over the records; ratios come from
rounds that alternate between the two sides.
"""

import os
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import cycle, islice
from typing import TypeVar

import numpy as np
from pyts.image import GramianAngularField, MarkovTransitionField, RecurrencePlot

from cardex.api.recordings import load, recordings
from cardex.domain.ecg import LEADS, FilePart, TypedSamples, Waveform
from cardex.domain.errors import InvalidEcg
from cardex.domain.settings import load_settings
from cardex.local_stack.dataset import fetch
from cardex.signals.cleaning import clean
from cardex.signals.encodings import paa, rescale
from cardex.signals.image_spec import ImageSpec
from cardex.signals.images import draw, window_of
from cardex.signals.quality import assess
from cardex.signals.readers import read, warm_up
from loadtest.files import wfdb_of
from loadtest.report import publish

RECORDS = 64
BATCH = 32
ROUNDS = 5
SPEC = ImageSpec()
T = TypeVar("T")

AIMS = {
    "read WFDB + clean, 100 Hz, ms": "at most 1.5",
    "read typed samples + clean, 100 Hz, ms": "at most 0.5",
    "All-Grid image, one record, ms": "at most 1.0",
    "All-Grid image, batch of 32, ms a record": "at most 0.7",
    "All-Grid image, pyts over ours": "at least 30",
    "time of 600 s over 10 s, per second of record": "about 1",
    "memory of 600 s over 10 s, per second of record": "about 1",
}


def one_core() -> None:
    """Keep this process, and the threads of its libraries, on one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def windows_of_real_records() -> list[Waveform]:
    """Return ten-second windows of the public CPSC-2018 records, at 500 Hz."""
    data = fetch(load_settings().data_dir / "data", print)
    whole = [read(load(files)) for files in recordings(data.cpsc)]
    return list(islice(_windows(whole), RECORDS))


def _windows(whole: Sequence[Waveform]) -> Iterator[Waveform]:
    for lap, waveform in enumerate(cycle(whole)):
        samples = round(10 * waveform.rate)
        spare = max(1, waveform.signal.shape[1] - samples)
        start = (lap * 397) % spare
        signal = np.ascontiguousarray(waveform.signal[:, start : start + samples])
        yield replace(waveform, signal=signal)


def at_100_hz(waveform: Waveform) -> Waveform:
    """Resample with nothing else taken out: what a 100 Hz archive holds."""
    return Waveform(clean(waveform, 100.0, replace(SPEC.filter, band_hz=(0.0, 45.0))), 100.0)


def typed(waveform: Waveform) -> TypedSamples:
    """Return a record as a client types it in."""
    return TypedSamples(LEADS, tuple(waveform.signal), waveform.rate, "mV")


def milliseconds(step: Callable[[T], object], inputs: Sequence[T]) -> float:
    """Return the median time of a step over different inputs, after one lap to warm up."""
    for one in inputs[:8]:
        step(one)
    taken = []
    for one in inputs:
        start = time.perf_counter()
        step(one)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1000


def pyts_grid(window: np.ndarray) -> np.ndarray:
    """Make the same All-Grid image of one (12, n) window with pyts."""
    reduced = paa(window, SPEC.tile)
    fields = (
        GramianAngularField(SPEC.tile, method="summation").fit_transform(window) * 127.5 + 127.5,
        RecurrencePlot().fit_transform(rescale(reduced)) * 127.5,
        MarkovTransitionField(SPEC.tile, n_bins=SPEC.bins, strategy="quantile").fit_transform(
            window
        )
        * 255.0,
    )
    tiles = np.stack([np.rint(field) for field in fields], axis=-1).astype(np.uint8)
    grid = tiles.reshape(3, 4, SPEC.tile, SPEC.tile, 3).transpose(0, 2, 1, 3, 4)
    return grid.reshape(SPEC.shape)


def against_pyts(windows: Sequence[np.ndarray]) -> dict[str, float]:
    """Compare speed and result with pyts, its compiler warmed up."""
    theirs, ours = pyts_grid(windows[0]), draw(windows[0][None], SPEC)[0]
    apart = np.abs(theirs.astype(int) - ours.astype(int))
    ratios, slow = [], []
    for number in range(ROUNDS):
        some = windows[8 * number : 8 * number + 8]
        slow.append(milliseconds(pyts_grid, some[:2]))
        ratios.append(slow[-1] / milliseconds(lambda window: draw(window[None], SPEC), some))
    return {
        "All-Grid image, pyts, ms": statistics.median(slow),
        "All-Grid image, pyts over ours": statistics.median(ratios),
        "pixels over one level from pyts, share": float((apart > 1).mean()),
    }


def long_record(seconds: float, rate: float = 500.0) -> tuple[FilePart, ...]:
    """Return a made-up long record as WFDB."""
    steps = np.arange(round(seconds * rate))
    wave = (np.sin(steps / rate * 7.3) + (steps % int(rate) < rate / 25)).astype(np.float32)
    return wfdb_of(Waveform(np.tile(wave, (12, 1)), rate))


def length(seconds: float) -> tuple[float, float]:
    """Measure reading and cleaning a long record: milliseconds, and megabytes at the peak."""
    clean(read(long_record(seconds)), 100.0)
    record = long_record(seconds)
    start = time.perf_counter()
    clean(read(record), 100.0)
    taken = time.perf_counter() - start
    tracemalloc.start()
    clean(read(record), 100.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return taken * 1000, peak / 1e6


def growth() -> dict[str, float]:
    """Compare long records with short ones, and refuse one of a day."""
    ten, longest = length(10.0), length(600.0)
    day = long_record(4.0)[0].content.replace(b" 500 2000\n", b" 500 43200000\n")
    start = time.perf_counter()
    try:
        read((FilePart("rec.hea", day), FilePart("rec.dat", b"\x00" * 1024)))
    except InvalidEcg as error:
        if error.reason != "DURATION":
            raise
    else:
        raise SystemExit("a record of 24 hours was not refused")
    return {
        "read + clean, 600 s at 500 Hz, ms": longest[0],
        "memory of it, MB": longest[1],
        "time of 600 s over 10 s, per second of record": longest[0] / ten[0] / 60,
        "memory of 600 s over 10 s, per second of record": longest[1] / ten[1] / 60,
        "24 h at 500 Hz refused, ms": (time.perf_counter() - start) * 1000,
    }


def measure() -> dict[str, float]:
    """Measure every step; returns the figures by name."""
    one_core()
    warm_up()
    fast = windows_of_real_records()
    slow = [at_100_hz(waveform) for waveform in fast]
    cleaned = [clean(waveform, SPEC.rate, SPEC.filter) for waveform in fast]
    windows = [window_of(signal, SPEC) for signal in cleaned]
    batches = [np.stack(windows[first : first + BATCH]) for first in (0, BATCH)] * 8
    judged = list(zip(fast, cleaned, strict=True))
    figures = {
        "read WFDB, 100 Hz, ms": milliseconds(read, [wfdb_of(one) for one in slow]),
        "read WFDB + clean, 100 Hz, ms": milliseconds(
            lambda parts: clean(read(parts), 100.0), [wfdb_of(one) for one in slow]
        ),
        "read typed samples + clean, 100 Hz, ms": milliseconds(
            lambda samples: clean(read(samples), 100.0), [typed(one) for one in slow]
        ),
        "read typed samples + clean, 500 Hz, ms": milliseconds(
            lambda samples: clean(read(samples), 100.0), [typed(one) for one in fast]
        ),
        "quality, 500 Hz, ms": milliseconds(
            lambda pair: assess(pair[0], pair[1], SPEC.window_s), judged
        ),
        "All-Grid image, one record, ms": milliseconds(
            lambda window: draw(window[None], SPEC), windows
        ),
        "All-Grid image, batch of 32, ms a record": milliseconds(
            lambda batch: draw(batch, SPEC), batches
        )
        / BATCH,
    }
    for layout in ("all-concat", "simple-plot", "raster"):
        spec = replace(SPEC, layout=layout)
        figures[f"{layout} image, one record, ms"] = milliseconds(
            lambda window, spec=spec: draw(window[None], spec), windows
        )
    return figures | against_pyts(windows) | growth()


def main() -> None:
    """Print the figures, and write them to loadtest/results."""
    publish("bench-signals", measure(), AIMS)


if __name__ == "__main__":
    main()
