"""Pictures of a profile: latency, throughput, age of the queue and memory over time."""

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadtest.sampler import Samples
from loadtest.traffic import Answered, Imported

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
WIDTH, HEIGHT = 8.0, 2.2
BIN_S = 1.0
ALONE, BESIDE = "alone", "beside the import"


def draw(
    profile: str,
    *,
    bedside_alone: Sequence[Answered] = (),
    bedside_beside: Sequence[Answered] = (),
    imported: Imported | None = None,
    samples: Samples | None = None,
) -> Path:
    """Draw what a profile has as docs/pictures/load-PROFILE.svg; returns its path."""
    panels: list[Callable[[Axes], None]] = []
    if bedside_alone:
        panels.append(lambda axes: _quantiles(axes, bedside_alone, bedside_beside))
    if imported is not None and imported.ends:
        panels.append(lambda axes: _throughput(axes, imported))
    if samples is not None and samples.seconds:
        panels += [lambda axes: _age(axes, samples), lambda axes: _memory(axes, samples)]
    mpl.rcParams["svg.hashsalt"] = "cardex"
    figure = Figure(figsize=(WIDTH, HEIGHT * len(panels)), layout="constrained")
    rows = np.ravel(figure.subplots(len(panels), 1, squeeze=False))
    for axes, panel in zip(rows, panels, strict=True):
        panel(axes)
        axes.grid(alpha=0.3)
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"load-{profile}.svg"
    figure.savefig(path, metadata={"Date": None})
    return path


def _quantiles(axes: Axes, alone: Sequence[Answered], beside: Sequence[Answered]) -> None:
    for name, answers in ((ALONE, alone), (BESIDE, beside)):
        if answers:
            seconds = np.sort([answer.seconds for answer in answers if not answer.error])
            share = (np.arange(len(seconds)) + 0.5) / len(seconds)
            axes.plot(100.0 * share, 1000.0 * seconds, label=name)
    axes.set(xlabel="per cent of the bedside ECGs", ylabel="ms or less", yscale="log")
    axes.legend()


def _throughput(axes: Axes, imported: Imported) -> None:
    bins = np.arange(0.0, max(imported.ends) + BIN_S, BIN_S)
    counts, edges = np.histogram(imported.ends, bins)
    axes.step(edges[:-1], counts / BIN_S, where="post")
    axes.set(xlabel="s", ylabel="records/s", ylim=(0, None))


def _age(axes: Axes, samples: Samples) -> None:
    axes.plot(samples.seconds, samples.age_s, label="routine")
    axes.plot(samples.seconds, samples.stat_age_s, label="STAT")
    axes.set(xlabel="s", ylabel="oldest job, s", ylim=(0, None))
    axes.legend()


def _memory(axes: Axes, samples: Samples) -> None:
    for name, held in samples.memory_mb.items():
        axes.plot(samples.seconds[: len(held)], held, label=name)
    axes.set(xlabel="s", ylabel="memory, MB", ylim=(0, None))
    axes.legend(fontsize="small", ncols=3)
