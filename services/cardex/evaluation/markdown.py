"""Tables of figures in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

Found = Mapping[str, Any]
"""What `cardex evaluate --json` prints; of the keys beside "figures" some may be missing."""


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table with a row of heads."""
    return "\n".join([line(heads), "|---" * len(heads) + "|", *(line(row) for row in rows)])


def line(cells: Sequence[str]) -> str:
    """Return one row of a table."""
    return f"| {' | '.join(cells)} |"


def bracket(values: Sequence[float], digits: int, *, sign: str = "", between: str = " to ") -> str:
    """Return [mean, low, high] as a mean with its interval in brackets, and [mean] alone.

    Args:
        values: the figure.
        digits: after the decimal point.
        sign: "+" to write it also before what is over 0.
        between: stands between the bounds.
    """
    mean, *bounds = (f"{value:{sign}.{digits}f}" for value in values)
    return f"{mean} ({between.join(bounds)})" if bounds else mean


def subset_heads(found: Found) -> list[str]:
    """Return the head of each subset's column."""
    return [f"{name} ({figures['ecgs']} ECGs)" for name, figures in found["figures"].items()]
