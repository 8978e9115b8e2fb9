"""Measures a pair of encoders on one fold: every figure, with baselines and intervals."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import Embedding
from cardex.evaluation import probabilities, retrieval, zero_shot
from cardex.evaluation.embedder import Embedder
from cardex.evaluation.embeddings import embed_ecgs, embed_prompts
from cardex.evaluation.intervals import Subset
from cardex.evaluation.metrics import Scores
from cardex.evaluation.probabilities import Detector, Probabilities, probabilities_of
from cardex.evaluation.protocols import PROBABILITIES, PROTOCOLS, RETRIEVAL, ZERO_SHOT
from cardex.evaluation.retrieval import Answers
from cardex.evaluation.task import (
    TRAINING_FOLDS,
    Task,
    abnormal_gallery_of,
    gallery_of,
    task_of,
)
from cardex.inference.agreement import (
    Agreement,
    added_by_commonness,
    expected_jaccard,
    stated,
)
from cardex.retrieval.draft import VOTERS as CANDIDATES

__all__ = [
    "TRAINING_FOLDS", "Outcome", "Task", "difference", "embed_ecgs", "evaluate", "figures",
    "gallery_of", "outcome_of", "task_of",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a model answers to each ECG of a task.

    Attributes:
        ranking: the ECGs' embeddings, and how reports are scored by them.
        answers: figures of retrieval for each ECG.
        prompts: statement code to the (E,) embedding of its description; empty if zero-shot
            detection is not measured.
        probabilities: of the statements; None if they are not measured.
    """

    ranking: "Ranking"
    answers: Answers
    prompts: Mapping[str, Embedding]
    probabilities: Probabilities | None

    @property
    def ecgs(self) -> Embedding:
        """Embeddings of the ECGs: (ECGs, E)."""
        return self.ranking.ecgs


def evaluate(
    embedder: Embedder,
    task: Task,
    detectors: Mapping[str, Detector] | None = None,
    *,
    agreement: Agreement | None = None,
    ecgs: Iterable[str] = (),
) -> dict[str, dict[str, Any]]:
    """Return every figure but the drafts', for each subset of the ECGs.

    Args:
        embedder: the model.
        task: ECGs and galleries.
        detectors: statement code to how its probability is found; None for no probabilities.
        agreement: what the service adds to the similarities; it needs `detectors`. None to rank by
            similarity alone.
        ecgs: names of the subsets; see `Task.subsets`.
    """
    outcome = outcome_of(embedder, task, detectors or {}, agreement=agreement)
    return {subset.name: figures(outcome, task, subset) for subset in task.subsets(ecgs)}


def outcome_of(
    embedder: Embedder,
    task: Task,
    detectors: Mapping[str, Detector],
    protocols: Sequence[str] = PROTOCOLS,
    agreement: Agreement | None = None,
) -> Outcome:
    """Ask a model about every ECG, as the protocols need it."""
    ecgs = embed_ecgs(embedder, task.ecgs)
    known = probabilities_of(ecgs, task.records, detectors, embedder) if detectors else None
    ranking = Ranking(embedder, ecgs, known, agreement)
    return Outcome(
        ranking=ranking,
        answers=_answers(ranking, task, protocols),
        prompts=embed_prompts(embedder, task.kinds) if ZERO_SHOT in protocols else {},
        probabilities=known.of(task.kinds) if known and PROBABILITIES in protocols else None,
    )


@dataclass(frozen=True, slots=True)
class Scored:
    """What texts are ranked by for some ECGs, as (ECGs, texts) arrays.

    Attributes:
        similarity: of each ECG with each text; a report's ECGs are ranked by it.
        said: the same and what agreeing statements add: how much a text counts in a draft.
        ranked: the same and what the number of its records adds: what an ECG's texts are ranked by.
    """

    similarity: Scores
    said: Scores
    ranked: Scores


@dataclass(frozen=True, slots=True)
class Ranking:
    """Scores reports as the service does.

    Attributes:
        embedder: the model.
        ecgs: (ECGs, E) embeddings.
        known: probabilities of the ECGs' statements; None where they are not known.
        agreement: what is added to similarities; None for similarity alone.
    """

    embedder: Embedder
    ecgs: Embedding
    known: Probabilities | None
    agreement: Agreement | None

    def rows(self, rows: NDArray[np.int64]) -> "Ranking":
        """Return the ranking for some of the ECGs."""
        known = self.known and replace(
            self.known, found=self.known.found[rows], true=self.known.true[rows]
        )
        return replace(self, ecgs=self.ecgs[rows], known=known)

    def scores(self, texts: Sequence[str], records: NDArray[np.floating]) -> Scored:
        """Score texts for each ECG.

        The service adds to the similarity of an ECG's `CANDIDATES` most similar reports, and never
        to that of a report's ECGs. What is added is not negative, so the other reports stay behind.

        Args:
            texts: the distinct texts that are searched.
            records: (texts,) how many records of an archive bear each.
        """
        vectors = self.embedder.texts(texts)
        similarity: Scores = self.ecgs @ vectors.T
        if self.known is None or self.agreement is None:
            return Scored(similarity, similarity, similarity)
        near = np.zeros(similarity.shape)
        order = np.argsort(-similarity, axis=1, kind="stable")
        np.put_along_axis(near, order[:, :CANDIDATES], 1.0, axis=1)
        others = stated(vectors, self.agreement, self.known.codes)
        agreeing = self.agreement.weight * expected_jaccard(self.known.found, others)
        said = similarity + near * agreeing
        return Scored(similarity, said, said + near * added_by_commonness(records, self.agreement))


def _answers(ranking: Ranking, task: Task, protocols: Sequence[str]) -> Answers:
    found: Answers = {}
    abnormal = task.abnormal
    if "paper" in protocols and abnormal.any():
        gallery = abnormal_gallery_of(task)
        scored = ranking.scores(gallery.texts, gallery.commonness)
        found |= retrieval.measure_abnormal(scored.ranked, scored.similarity, gallery, abnormal)
    wanted = [name for name in RETRIEVAL if name in protocols and name != "paper"]
    if wanted:
        gallery = gallery_of(task)
        scored = ranking.scores(gallery.texts, gallery.commonness)
        found |= retrieval.measure(scored.ranked, scored.similarity, gallery, wanted)
    return found


def figures(outcome: Outcome, task: Task, subset: Subset) -> dict[str, Any]:
    """Return the figures of an outcome on a subset of the ECGs.

    ECGs without codes have no part in what is measured by statements; "ecgs without codes" tells
    how many there are, if any.
    """
    gallery, abnormal, coded = gallery_of(task), task.abnormal[subset.rows], task.coded(subset)
    found: dict[str, Any] = {
        "ecgs": len(subset.rows),
        "gallery": len(gallery.columns),
        "distinct texts": len(gallery.texts),
        "abnormal ecgs": int(abnormal.sum()),
        "abnormal gallery": int(task.abnormal.sum()) + len(task.abnormal_others),
        **retrieval.summary(outcome.answers, subset),
    }
    if without := len(subset.rows) - (len(coded.rows) if coded else 0):
        found["ecgs without codes"] = without
    if coded is None:
        return found
    if outcome.prompts:
        found |= _detection(outcome, task, coded)
    if outcome.probabilities is not None:
        found[PROBABILITIES] = probabilities.summary(outcome.probabilities, coded)
        sites = probabilities.by_site(outcome.probabilities, task.records, task.patients, coded)
        if sites:
            found["probabilities by site"] = sites
    return found


def _detection(outcome: Outcome, task: Task, subset: Subset) -> dict[str, Any]:
    """Measure zero-shot detection; single statements also on those ECGs that are in mV."""
    levels = zero_shot.levels(task.kinds)
    areas = zero_shot.measure(outcome.ecgs, outcome.prompts, task.records, levels, subset)
    found = {
        ZERO_SHOT: zero_shot.summary(areas),
        "statements": zero_shot.statements(areas[zero_shot.SINGLE]),
    }
    rows = subset.rows[task.ecgs.calibrated[subset.rows]]
    if len(rows):
        calibrated = Subset.of("calibrated", rows, task.patients)
        single = zero_shot.measure(
            outcome.ecgs, outcome.prompts, task.records, levels[-1:], calibrated
        )
        found["statements of calibrated ecgs"] = {
            "ecgs": len(rows),
            "statements": zero_shot.statements(single[zero_shot.SINGLE]),
        }
    return found


def difference(one: Outcome, other: Outcome, task: Task, subset: Subset) -> dict[str, Any]:
    """Return what `one` has more than `other`, as [mean, low, high], paired ECG by ECG.

    Returns:
        The figures of retrieval by protocol, the macro AUROC of each level under "zero-shot", and
        the Brier score under "probabilities".
    """
    found, coded = retrieval.differences(one.answers, other.answers, subset), task.coded(subset)
    if coded is None:
        return found
    if one.prompts:
        levels = zero_shot.levels(task.kinds)
        areas, others = (
            zero_shot.measure(outcome.ecgs, outcome.prompts, task.records, levels, coded)
            for outcome in (one, other)
        )
        gaps = {name: own.difference(others[name]) for name, own in areas.items()}
        found[ZERO_SHOT] = {name: gap.rounded(4) for name, gap in gaps.items() if gap}
    if one.probabilities is not None and other.probabilities is not None:
        brier = probabilities.difference(one.probabilities, other.probabilities, coded)
        if brier is not None:
            found[PROBABILITIES] = {"Brier score": brier}
    return found
