"""What the data of a measurement cannot tell."""

from collections.abc import Sequence

from cardex.evaluation.metrics import RANKS
from cardex.evaluation.task import GALLERY_FOLDS, Task


def gallery_warnings(task: Task, wanted: int, protocols: Sequence[str]) -> list[str]:
    """Say where a gallery has not as many reports as wanted, or too few to tell anything.

    Args:
        task: ECGs and galleries.
        wanted: number of reports that was asked for.
        protocols: names of what is measured.
    """
    sizes = _sizes(task, protocols)
    found = [
        f"the gallery has {sizes[words]} {words}, not {wanted}: {_why(sizes[words], wanted)}"
        for words in ("reports", "abnormal reports")
        if sizes.get(words, wanted) != wanted
    ]
    few = [f"{size} {words}" for words, size in sizes.items() if size <= max(RANKS)]
    if few:
        found.append(
            f"R@k says nothing where k is not smaller than what is searched, {', '.join(few)}: it"
            " finds them all"
        )
    return found


def _sizes(task: Task, protocols: Sequence[str]) -> dict[str, int]:
    """Return how many of what the protocols search."""
    entries, own = (*task.records, *task.others), len(task.records)
    sizes = {}
    if {"strict", "distinct", "clinical"} & set(protocols):
        sizes["reports"] = len(entries)
    if "distinct" in protocols:
        sizes["distinct reports"] = len({record.text for record in entries})
    if "strict" in protocols:
        sizes["ECGs"] = own
    if "paper" in protocols and (abnormal := int(task.abnormal.sum())):
        sizes["abnormal reports"] = abnormal + len(task.abnormal_others)
        sizes["abnormal ECGs"] = abnormal
    return sizes


def _why(size: int, wanted: int) -> str:
    if size > wanted:
        return "every ECG's own report is searched"
    return f"the fold and folds {' and '.join(map(str, GALLERY_FOLDS))} have no more"
