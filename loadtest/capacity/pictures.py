"""The picture of growth: limits of each kind over the load, and the index over its size."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadtest import pictures
from loadtest.capacity.growth import CASES, LOADS, first

NAMES = {
    "gateway": "gateway", "stat": "STAT worker", "routine": "routine worker",
    "triton": "Triton, CPU", "query": "query node", "state stores": "state store",
}  # fmt: skip


def draw(figures: Mapping[str, float]) -> Path:
    """Draw the figures of `growth` as docs/pictures/capacity.svg; returns its path."""
    mpl.rcParams["svg.hashsalt"] = "cardex"
    figure = Figure(figsize=(pictures.WIDTH, 1.4 * pictures.HEIGHT * 3), layout="constrained")
    limits, replicas, index = figure.subplots(3, 1)
    _limits(limits, figures)
    _replicas(replicas, figures)
    _index(index, figures)
    pictures.FOLDER.mkdir(parents=True, exist_ok=True)
    path = pictures.FOLDER / "capacity.svg"
    figure.savefig(path, metadata={"Date": None})
    return path


def _limits(axes: Axes, figures: Mapping[str, float]) -> None:
    names, rates = zip(*reversed(first(figures)), strict=True)
    bars = axes.barh(names, rates)
    axes.bar_label(bars, fmt="{:,.0f}", padding=3)
    axes.set(
        xscale="log", xlim=(None, 4.0 * max(rates)), xlabel="ECG/s until it is short, as shipped"
    )
    axes.grid(alpha=0.3, axis="x")


def _replicas(axes: Axes, figures: Mapping[str, float]) -> None:
    for kind, name in NAMES.items():
        counts = [figures[f"{load} ECG/s: {kind}"] for load in LOADS]
        axes.plot(LOADS, counts, marker="o", label=name)
    axes.set(xscale="log", yscale="log", xlabel="ECG/s, a tenth of them bedside", ylabel="needed")
    axes.grid(alpha=0.3)
    axes.legend(ncols=2)


def _index(axes: Axes, figures: Mapping[str, float]) -> None:
    for kind in ("IVF_FLAT", "IVF_SQ8"):
        held = [figures[f"{_name(cases)}: memory of {kind}, GB"] for cases in CASES]
        axes.plot(CASES, held, marker="o", label=kind)
    axes.axvspan(CASES[0], CASES[1], alpha=0.1, label="measured (IVF_FLAT)")
    axes.set(xscale="log", yscale="log", xlabel="cases", ylabel="index, GB")
    axes.grid(alpha=0.3)
    axes.legend()


def _name(cases: int) -> str:
    return f"{cases:.0e} cases".replace("e+0", "e")
