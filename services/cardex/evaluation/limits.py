"""What the data of a measurement cannot tell."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cardex.evaluation import languages
from cardex.evaluation.dataset import carried
from cardex.evaluation.embedder import OnnxEmbedder
from cardex.evaluation.metrics import MIN_POSITIVE, RANKS
from cardex.evaluation.protocols import (
    CASES,
    DRAFTS,
    LANGUAGES,
    NOVELTY,
    PROBABILITIES,
    ZERO_SHOT,
)
from cardex.evaluation.task import GALLERY_FOLDS, Task
from cardex.reports.ptbxl import STATEMENTS, Record


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


def obstacles(
    protocols: Sequence[str], task: Task, rows: NDArray[np.int64], embedder: OnnxEmbedder
) -> dict[str, str]:
    """Return why protocols cannot be measured, by the names of those that cannot.

    Args:
        protocols: names of what is wanted.
        task: ECGs and galleries, with descriptions of the statements.
        rows: the ECGs that are measured.
        embedder: the model.
    """
    records = [task.records[row] for row in rows]
    coded = [record for record in records if record.coded]
    reasons = {
        **_of_statements(coded, task, embedder),
        CASES: "" if _has_archive(task) else "no other fold of 1 to 8 has an ECG",
        NOVELTY: "" if embedder.novelty else f"{embedder.version} has no novelty.json",
        DRAFTS: "" if task.training else "no other fold of 1 to 8 has a report",
    }
    return {name: why for name in protocols if (why := reasons.get(name))}


def _has_archive(task: Task) -> bool:
    """Return whether `Task.archive` has an ECG, without a copy of its waveforms."""
    known = {record.ecg_id for record in task.training}
    return any(record.ecg_id in known for record in (task.every or task.ecgs).records)


def _of_statements(coded: Sequence[Record], task: Task, embedder: OnnxEmbedder) -> dict[str, str]:
    """Return the obstacle to each protocol that goes by statements, "" where there is none."""
    if not coded:
        names = ("paper", "clinical", ZERO_SHOT, LANGUAGES, PROBABILITIES)
        return dict.fromkeys(names, "no ECG has codes (column codes of a manifest)")
    if not task.kinds:
        unknown = f"{STATEMENTS}, which describes the statements, is missing"
        return dict.fromkeys((ZERO_SHOT, LANGUAGES, PROBABILITIES), unknown) | _paper(coded)
    return {
        **_paper(coded),
        LANGUAGES: "" if _judged(coded, task) else "no statement has ECGs enough",
        PROBABILITIES: _uncalibrated(task, embedder),
    }


def _paper(coded: Sequence[Record]) -> dict[str, str]:
    return {"paper": "" if any(record.abnormal for record in coded) else "no ECG is abnormal"}


def _uncalibrated(task: Task, embedder: OnnxEmbedder) -> str:
    if embedder.calibration is None:
        return f"{embedder.version} has no statements.json"
    known = {each.code for each in embedder.calibration.statements}
    return "" if known & task.kinds.keys() else f"{embedder.version} knows none of the statements"


def _judged(coded: Sequence[Record], task: Task) -> bool:
    """Return whether a statement with names in all languages has ECGs enough on either side."""
    counts = carried(coded, languages.named(task.kinds)).sum(axis=0)
    return bool((np.minimum(counts, len(coded) - counts) >= MIN_POSITIVE).any())
