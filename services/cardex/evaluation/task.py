"""The data of a measurement: the ECGs of one fold, and the galleries of reports."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import Signal
from cardex.domain.errors import InvalidReport
from cardex.evaluation.dataset import Dataset, carried
from cardex.evaluation.ecgs import Ecgs
from cardex.evaluation.intervals import Subset
from cardex.evaluation.protocols import ALL, ECGS, OTHER, REPRESENTATIVE
from cardex.evaluation.retrieval import Gallery
from cardex.reports.ptbxl import Record, StatementKind

TRAINING_FOLDS = tuple(range(1, 9))
GALLERY_FOLDS = (9, 10)
GALLERY = 1269
"""Gallery size of the first paper, whose figures are multiples of 1/1269."""


@dataclass(frozen=True, slots=True)
class Task:
    """The data of one measurement.

    Attributes:
        ecgs: the ECGs that are the queries.
        others: records of which only the reports are used, to fill the gallery up.
        abnormal_others: the same for the gallery of abnormal reports.
        training: records of the training folds: their commonest reports are the majority baseline.
        kinds: statement code to description and classes.
        representative: ids of the ECGs that stand for the whole data set.
        every: all ECGs of the data set.
    """

    ecgs: Ecgs
    others: list[Record]
    abnormal_others: list[Record]
    training: list[Record]
    kinds: Mapping[str, StatementKind]
    representative: frozenset[int] = frozenset()
    every: Ecgs | None = None

    @property
    def archive(self) -> Ecgs:
        """The ECGs of the training folds that have a report."""
        known = {record.ecg_id for record in self.training}
        every = self.every or self.ecgs
        return every.rows([i for i, one in enumerate(every.records) if one.ecg_id in known])

    @property
    def records(self) -> list[Record]:
        """The ECGs' records."""
        return self.ecgs.records

    @property
    def signals(self) -> Signal:
        """The ECGs' cleaned waveforms: (ECGs, 12, samples) float32, mV."""
        return self.ecgs.signals

    @property
    def patients(self) -> NDArray[np.int64]:
        """Patient id of each ECG: (ECGs,) int64."""
        return np.array([record.patient_id for record in self.records], dtype=np.int64)

    @property
    def abnormal(self) -> NDArray[np.bool_]:
        """Whether each ECG is abnormal: (ECGs,)."""
        return np.array([record.abnormal for record in self.records], dtype=np.bool_)

    def coded(self, subset: Subset) -> Subset | None:
        """Return the part of a subset whose ECGs have codes; None if none has."""
        rows = [row for row in subset.rows if self.records[row].coded]
        if not rows:
            return None
        return Subset.of(subset.name, np.array(rows, dtype=np.int64), self.patients)

    def subsets(self, wanted: Iterable[str] = ()) -> list[Subset]:
        """Return those subsets of the ECGs that are wanted.

        Args:
            wanted: some of "all", "representative" and "other"; if empty, all of them if the data
                set says which ECGs are representative, and otherwise "all" alone.

        Raises:
            InvalidReport: if a subset is asked for that has no ECG.
        """
        listed = np.array([record.ecg_id in self.representative for record in self.records])
        masks = {ALL: np.ones_like(listed), REPRESENTATIVE: listed, OTHER: ~listed}
        known = self.representative and listed.any() and not listed.all()
        names = tuple(wanted) or (ECGS if known else (ALL,))
        for name in names:
            if not masks[name].any() or (name != ALL and not self.representative):
                raise InvalidReport(
                    f"the ECGs called {name} are not told apart in this fold: leave out --ecgs"
                )
        patients = self.patients
        return [Subset.of(name, np.flatnonzero(masks[name]), patients) for name in names]


def task_of(dataset: Dataset, fold: int, size: int = GALLERY) -> Task:
    """Choose a fold, and galleries of `size` reports from it and the folds that are held out.

    Raises:
        InvalidReport: if the fold has no waveform with a report.
    """
    every, ecgs = dataset.records, dataset.ecgs
    keep = [i for i, record in enumerate(ecgs.records) if record.fold == fold and record.text]
    if not keep:
        have = ", ".join(str(fold) for fold in sorted({record.fold for record in ecgs.records}))
        raise InvalidReport(f"fold {fold} has no waveform with a report: there are folds {have}")
    own, folds = ecgs.rows(keep), {fold, *GALLERY_FOLDS}
    return Task(
        ecgs=own,
        others=fill_up(every, own.records, folds, size),
        abnormal_others=fill_up(_abnormal(every), _abnormal(own.records), folds, size),
        training=[r for r in every if r.fold in TRAINING_FOLDS and r.fold != fold and r.text],
        kinds=dataset.kinds,
        representative=dataset.representative,
        every=ecgs,
    )


def fill_up(
    every: Sequence[Record], own: Sequence[Record], folds: set[int], size: int, seed: int = 0
) -> list[Record]:
    """Draw records from `folds` at random, so many that with `own` they are `size`.

    There are more where `own` alone are more, and fewer where the folds have no more.
    """
    taken = {record.ecg_id for record in own}
    pool = [r for r in every if r.fold in folds and r.text and r.ecg_id not in taken]
    count = min(len(pool), max(0, size - len(own)))
    chosen = np.random.default_rng(seed).choice(len(pool), count, replace=False)
    return [pool[i] for i in sorted(chosen)]


def gallery_of(task: Task) -> Gallery:
    """Return the gallery: the reports of the task's ECGs, then the others."""
    return _gallery(task.records, task.others, task.training)


def abnormal_gallery_of(task: Task) -> Gallery:
    """Return the gallery of the protocol *paper*: abnormal reports alone, the ECGs' own first."""
    return _gallery(_abnormal(task.records), task.abnormal_others, _abnormal(task.training))


def _abnormal(records: Iterable[Record]) -> list[Record]:
    return [record for record in records if record.abnormal]


def _gallery(own: list[Record], others: list[Record], training: list[Record]) -> Gallery:
    entries = [*own, *others]
    texts = sorted({record.text for record in entries})
    place = {text: row for row, text in enumerate(texts)}
    codes = sorted({code for record in entries for code in record.codes})
    counts = Counter(record.text for record in training)
    return Gallery(
        texts=texts,
        columns=np.array([place[record.text] for record in entries], dtype=np.int64),
        statements=carried(entries, codes),
        commonness=np.array([counts[text] for text in texts], dtype=np.float32),
    )
