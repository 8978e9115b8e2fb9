"""Zero-shot detection: a statement's score is the ECG's similarity with its description.

A class of several statements has the score of the best one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import Embedding
from cardex.evaluation.intervals import BOUNDS, Interval, Subset, are_enough
from cardex.evaluation.metrics import MIN_POSITIVE, Values, aurocs
from cardex.reports.ptbxl import Record, StatementKind

RESAMPLES = 200
LEVELS = ("superclass", "subclass", "form", "rhythm")
SINGLE = "all"
"""The level in which each statement is a class of its own."""


@dataclass(frozen=True, slots=True)
class Level:
    """Classes of one level, each with the statements that belong to it."""

    name: str
    members: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Areas:
    """Areas under the ROC curve of a level's classes; NaN where too few ECGs have the class.

    Attributes:
        labels: names of the classes.
        positive: (classes,) number of ECGs that have the class.
        area: (classes,) of all ECGs.
        again: (samples, classes) of each bootstrap sample.
    """

    labels: list[str]
    positive: NDArray[np.int64]
    area: Values
    again: Values

    def macro(self) -> Interval | None:
        """Return the mean over the classes; None if there is none to judge."""
        judged = ~np.isnan(self.area)
        return _interval(_means(self.area[None, judged]), _means(self.again[:, judged]))

    def difference(self, other: "Areas") -> Interval | None:
        """Return the mean of the differences from `other`, on the same ECGs and samples."""
        judged = ~np.isnan(self.area)
        return _interval(
            _means((self.area - other.area)[None, judged]),
            _means((self.again - other.again)[:, judged]),
        )


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
    return [*found, Level(SINGLE, {code: (code,) for code in kinds})]


def measure(
    ecgs: Embedding,
    prompts: Mapping[str, Embedding],
    records: Sequence[Record],
    wanted: Sequence[Level],
    subset: Subset,
) -> dict[str, Areas]:
    """Return the areas of each level's classes.

    Args:
        ecgs: (ECGs, E) embeddings.
        prompts: statement code to the (E,) embedding of its description.
        records: the ECGs' records.
        wanted: the levels to measure.
        subset: the ECGs to measure on; its first 200 samples are used.
    """
    own = [records[row] for row in subset.rows]
    found = {}
    for level in wanted:
        labels = sorted(level.members)
        scores = np.stack(
            [_best(ecgs[subset.rows], prompts, level.members[label]) for label in labels], axis=1
        )  # (ECGs, classes)
        true = np.array(
            [[bool(set(level.members[label]) & record.codes.keys())
              for label in labels] for record in own]
        )  # fmt: skip
        samples = subset.samples[:RESAMPLES]
        area = aurocs(scores, true)
        again = np.full((len(samples), len(labels)), np.nan)
        judged = ~np.isnan(area) & are_enough(subset.patients)
        for place, rows in enumerate(samples):
            # A class that is judged stays one in every sample: else a mean over classes would be
            # over others each time, those with few ECGs left out where they have the fewest.
            again[place, judged] = aurocs(scores[rows][:, judged], true[rows][:, judged], least=1)
        found[level.name] = Areas(labels, true.sum(axis=0), area, again)
    return found


def summary(found: Mapping[str, Areas]) -> dict[str, Any]:
    """Return each level's macro AUROC as [mean, low, high], and how many classes were judged."""
    return {name: _summary(areas) for name, areas in found.items()}


def _summary(areas: Areas) -> dict[str, Any]:
    macro = areas.macro()
    if macro is None:
        return {"AUROC": None, "classes": 0, "needs": MIN_POSITIVE}
    judged = int((~np.isnan(areas.area)).sum())
    return {"AUROC": macro.rounded(4), "classes": judged, "chance": 0.5}


def statements(areas: Areas) -> dict[str, Any]:
    """Return "AUROC" as [value, low, high] and "positive" of each class that enough ECGs have."""
    found = {}
    for place, label in enumerate(areas.labels):
        area = _interval(areas.area[place : place + 1], areas.again[:, place])
        if area is not None:
            found[label] = {"positive": int(areas.positive[place]), "AUROC": area.rounded(4)}
    return found


def _best(
    ecgs: Embedding, prompts: Mapping[str, Embedding], codes: Sequence[str]
) -> NDArray[np.float32]:
    return np.asarray(np.max([ecgs @ prompts[code] for code in codes], axis=0), dtype=np.float32)


def _means(areas: Values) -> Values:
    """Return the mean over the classes of each row that are not NaN; NaN where all are."""
    known = ~np.isnan(areas)
    counts = known.sum(axis=1)
    totals = np.where(known, areas, 0.0).sum(axis=1)
    return np.asarray(np.where(counts > 0, totals / np.maximum(counts, 1), np.nan))


def _interval(value: Values, again: Values) -> Interval | None:
    (middle,) = value
    if np.isnan(middle):
        return None
    kept = again[~np.isnan(again)]
    low, high = np.quantile(kept, BOUNDS) if kept.size else (np.nan, np.nan)
    return Interval(float(middle), float(low), float(high))
