"""Measures a pair of encoders on one fold: every figure, with baselines and intervals."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import Embedding, Signal
from cardex.domain.errors import InvalidReport
from cardex.evaluation import retrieval, zero_shot
from cardex.evaluation.dataset import Dataset, carried
from cardex.evaluation.embedder import Embedder
from cardex.evaluation.retrieval import Gallery
from cardex.reports.ptbxl import Record, StatementKind
from cardex.signals.images import draw, window_of

TRAINING_FOLDS = tuple(range(1, 9))
GALLERY_FOLDS = (9, 10)
GALLERY = 1269
"""Gallery size of the first paper, whose figures are multiples of 1/1269."""


@dataclass(frozen=True, slots=True)
class Task:
    """The data of one measurement.

    Attributes:
        records: the records of the ECGs that are the queries.
        signals: (ECGs, 12, samples) float32, mV, their cleaned waveforms.
        others: records of which only the reports are used, to fill the gallery up.
        training: records of the training folds: their commonest reports are the majority baseline.
        kinds: statement code to description and classes.
    """

    records: list[Record]
    signals: Signal
    others: list[Record]
    training: list[Record]
    kinds: Mapping[str, StatementKind]

    @property
    def patients(self) -> NDArray[np.int64]:
        """Patient id of each ECG: (ECGs,) int64."""
        return np.array([record.patient_id for record in self.records], dtype=np.int64)


def task_of(dataset: Dataset, fold: int, size: int = GALLERY) -> Task:
    """Choose a fold, and a gallery of `size` reports from it and the folds that are held out.

    Raises:
        InvalidReport: if the fold has no waveform with a report.
    """
    every, ecgs = dataset.records, dataset.ecgs
    keep = [i for i, record in enumerate(ecgs.records) if record.fold == fold and record.text]
    if not keep:
        have = ", ".join(str(fold) for fold in sorted({record.fold for record in ecgs.records}))
        raise InvalidReport(f"fold {fold} has no waveform with a report: there are folds {have}")
    own = [ecgs.records[i] for i in keep]
    return Task(
        records=own,
        signals=ecgs.signals[keep],
        others=fill_up(every, own, {fold, *GALLERY_FOLDS}, size),
        training=[r for r in every if r.fold in TRAINING_FOLDS and r.fold != fold and r.text],
        kinds=dataset.kinds,
    )


def fill_up(
    every: Sequence[Record], own: Sequence[Record], folds: set[int], size: int, seed: int = 0
) -> list[Record]:
    """Draw records from `folds` at random, so many that with `own` they are `size`."""
    taken = {record.ecg_id for record in own}
    pool = [r for r in every if r.fold in folds and r.text and r.ecg_id not in taken]
    count = min(len(pool), max(0, size - len(own)))
    chosen = np.random.default_rng(seed).choice(len(pool), count, replace=False)
    return [pool[i] for i in sorted(chosen)]


def evaluate(embedder: Embedder, task: Task) -> dict[str, Any]:
    """Return every figure of retrieval and zero-shot detection."""
    ecgs = embed_ecgs(embedder, task.signals)
    gallery = gallery_of(task)
    prompts = embed_prompts(embedder, task.kinds)
    found = {
        "ecgs": len(ecgs),
        "gallery": len(gallery.columns),
        "distinct texts": len(gallery.texts),
        **retrieval.measure(ecgs @ embedder.texts(gallery.texts).T, gallery, task.patients),
    }
    if prompts:
        found["zero-shot"] = zero_shot.measure(ecgs, prompts, task.records, task.kinds)
        found["statements"] = zero_shot.statements(ecgs, prompts, task.records)
    return found


def embed_ecgs(embedder: Embedder, signals: Signal) -> Embedding:
    """Cut windows from cleaned (ECGs, 12, samples) signals, draw and embed them: (ECGs, E)."""
    windows = np.stack([window_of(signal, embedder.spec) for signal in signals])
    parts = [
        embedder.images(draw(windows[first : first + 64], embedder.spec))
        for first in range(0, len(windows), 64)
    ]
    return np.concatenate(parts)


def embed_prompts(embedder: Embedder, kinds: Mapping[str, StatementKind]) -> dict[str, Embedding]:
    """Embed the description of every statement: code to (E,) embedding."""
    codes = sorted(kinds)
    if not codes:
        return {}
    return dict(
        zip(codes, embedder.texts([kinds[code].description for code in codes]), strict=True)
    )


def gallery_of(task: Task) -> Gallery:
    """Return the gallery: the reports of the task's ECGs, then the others."""
    entries = [*task.records, *task.others]
    texts = sorted({record.text for record in entries})
    place = {text: row for row, text in enumerate(texts)}
    codes = sorted({code for record in entries for code in record.codes})
    counts = Counter(record.text for record in task.training)
    return Gallery(
        texts=texts,
        columns=np.array([place[record.text] for record in entries]),
        statements=carried(entries, codes),
        commonness=np.array([counts[text] for text in texts], dtype=np.float32),
    )
