"""The kinds of vector index: how Milvus is to build and to search each."""

import math
from dataclasses import dataclass

EXACT_UP_TO = 50_000
"""Reports up to which every search looks at all of them: it takes some milliseconds."""
PROBED_SHARE = 1 / 16
"""Share of the cells that a search looks at where there are several.

ECGs are far from all reports, so that their nearest reports lie in many cells. A graph (HNSW) finds
fewer of them the more reports there are: docs/benchmarks.md has the figures.
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """The parameters of a kind of vector index.

    Attributes:
        build: how Milvus is to build it.
        search: how it is to search it.
    """

    build: dict[str, int]
    search: dict[str, int]


def in_cells(cells: int) -> Kind:
    """Return the parameters of IVF_FLAT with so many cells."""
    return Kind({"nlist": cells}, {"nprobe": math.ceil(cells * PROBED_SHARE)})


KINDS = {
    "FLAT": Kind({}, {}),
    # One cell, so exact too; Milvus Lite gives it to FAISS, which takes half of its numpy's CPU
    # time.
    "IVF_FLAT": in_cells(1),
    "HNSW": Kind({"M": 16, "efConstruction": 200}, {"ef": 256}),
}


def kind_of(name: str, cells: int) -> Kind:
    """Return the parameters of an index of a kind with so many cells; only IVF_FLAT has several."""
    return in_cells(cells) if name == "IVF_FLAT" else KINDS[name]


def cells_for(name: str, count: int) -> int:
    """Return into how many cells a kind divides so many reports: 1 where every search is exact."""
    return round(4 * math.sqrt(count)) if name == "IVF_FLAT" and count > EXACT_UP_TO else 1
