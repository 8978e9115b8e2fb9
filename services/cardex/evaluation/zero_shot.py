"""Zero-shot detection: a statement's score is the ECG's similarity with its description.

A class of several statements has the score of the best one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import Embedding
from cardex.evaluation.dataset import carried
from cardex.evaluation.metrics import MIN_POSITIVE, aurocs, resamples
from cardex.reports.ptbxl import Record, StatementKind

RESAMPLES = 200
LEVELS = ("superclass", "subclass", "form", "rhythm")
ALL = "all"
"""The level in which each statement is a class of its own."""


@dataclass(frozen=True, slots=True)
class Level:
    """Classes of one level, each with the statements that belong to it."""

    name: str
    members: Mapping[str, tuple[str, ...]]


def levels(kinds: Mapping[str, StatementKind]) -> list[Level]:
    """Return those of PTB-XL's four levels that have classes, then one of all statements.

    The statements of a manifest have no classes: they have the last level only.
    """
    found = []
    for name in LEVELS:
        members: dict[str, list[str]] = {}
        for code, kind in kinds.items():
            for label in kind.classes(name, code):
                members.setdefault(label, []).append(code)
        if members:
            found.append(Level(name, {label: tuple(codes) for label, codes in members.items()}))
    return [*found, Level(ALL, {code: (code,) for code in kinds})]


def measure(
    ecgs: Embedding,
    prompts: Mapping[str, Embedding],
    records: Sequence[Record],
    kinds: Mapping[str, StatementKind],
) -> dict[str, Any]:
    """Return each level's macro AUROC as [mean, low, high], and its number of measured classes.

    Args:
        ecgs: (ECGs, E) embeddings.
        prompts: statement code to the (E,) embedding of its description.
        records: the ECGs' records.
        kinds: statement code to description and classes.
    """
    patients = np.array([record.patient_id for record in records])
    samples = resamples(patients, RESAMPLES, 0)
    found: dict[str, Any] = {}
    for level in levels(kinds):
        labels = sorted(level.members)
        scores = np.stack([_best(ecgs, prompts, level.members[label]) for label in labels], axis=1)
        true = np.array(
            [[bool(set(level.members[label]) & record.codes.keys())
              for label in labels] for record in records]
        )  # fmt: skip
        found[level.name] = _macro(scores, true, samples)
    return found


def statements(
    ecgs: Embedding, prompts: Mapping[str, Embedding], records: Sequence[Record]
) -> dict[str, float]:
    """Return the AUROC of each statement that enough ECGs have, by code."""
    codes = sorted(prompts)
    scores = np.stack([ecgs @ prompts[code] for code in codes], axis=1)
    true = carried(records, codes)
    return {
        code: round(float(area), 4)
        for code, area in zip(codes, aurocs(scores, true), strict=True)
        if not np.isnan(area)
    }


def _best(
    ecgs: Embedding, prompts: Mapping[str, Embedding], codes: Sequence[str]
) -> NDArray[np.float32]:
    return np.asarray(np.max([ecgs @ prompts[code] for code in codes], axis=0), dtype=np.float32)


def _macro(
    scores: NDArray[np.float32], true: NDArray[np.bool_], samples: Sequence[NDArray[np.int64]]
) -> dict[str, Any]:
    areas = aurocs(scores, true)
    judged = ~np.isnan(areas)
    if not judged.any():
        return {"AUROC": None, "classes": 0, "needs": MIN_POSITIVE}
    again = [aurocs(scores[rows][:, judged], true[rows][:, judged]) for rows in samples]
    means = [np.nanmean(values) for values in again if not np.isnan(values).all()]
    low, high = np.quantile(means or [np.nanmean(areas)], (0.025, 0.975))
    figures = [round(float(value), 4) for value in (np.nanmean(areas), low, high)]
    return {"AUROC": figures, "classes": int(judged.sum()), "chance": 0.5}
