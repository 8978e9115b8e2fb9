"""The protocol *cases*: the ECGs of a fold ask an archive of the training folds' cases.

The archive is searched as the service searches it, by the code that the service runs. A hit is the
ECG's own text; the statements of a text are those that at least half of its records carry.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cardex.domain.cases import Case, FiledCase, Nearness
from cardex.domain.ecg import Embedding
from cardex.domain.index import CaseMatch, IndexInfo, Match
from cardex.domain.jobs import Question
from cardex.domain.reports import Report
from cardex.evaluation.caching_embedder import Track
from cardex.evaluation.dataset import carried
from cardex.evaluation.ecgs import Ecgs
from cardex.evaluation.embedder import Embedder
from cardex.evaluation.embeddings import images_of
from cardex.evaluation.intervals import Subset
from cardex.evaluation.metrics import (
    RANKS,
    Scores,
    Values,
    agreement,
    mean_gain,
    ndcg,
    nearest,
    recalls,
)
from cardex.evaluation.retrieval import JACCARD_AT, NDCG_AT
from cardex.evaluation.task import Task
from cardex.inference.encoder import ModelInfo
from cardex.inference.statements import Calibration, Predictor
from cardex.reports.ptbxl import Record, report_id, reports_of
from cardex.retrieval.active_index import ServingSnapshot
from cardex.retrieval.case_cache import CaseCache
from cardex.retrieval.draft import VOTERS
from cardex.retrieval.memory_cases import WholeCases
from cardex.retrieval.memory_index import WholeIndex
from cardex.retrieval.nearest import NearestSearch
from cardex.retrieval.report_cache import ReportCache
from cardex.stores.report_index import ReportIndex

MAJORITY, CHANCE, LIMIT = "majority", "chance", "limit"
BATCH = 64
GENERATION = "archive"


@dataclass(frozen=True, slots=True)
class Archive:
    """Cases in memory, as a worker holds those of a small index.

    Attributes:
        reports: the distinct texts with their embeddings.
        cases: the cases with their ECGs' embeddings.
        texts: the distinct texts.
        statements: (texts, S) whether most of the text's records that have codes carry each one.
        commonness: (texts,) how many cases bear the text.
    """

    reports: WholeIndex
    cases: WholeCases
    texts: list[str]
    statements: NDArray[np.bool_]
    commonness: Scores

    @property
    def typicality(self) -> Scores:
        """The mean Jaccard index of each text's statements with all cases': (texts,).

        No order that is the same for every ECG agrees more with the archive.
        """
        shared = agreement(self.statements, self.statements) @ self.commonness
        return np.asarray(shared / self.commonness.sum())

    @classmethod
    def of(
        cls,
        records: Sequence[Record],
        ecgs: Embedding,
        embedder: Embedder,
        codes: Sequence[str],
    ) -> "Archive":
        """Hold records with the (records, E) embeddings of their ECGs."""
        reports = reports_of(records, {})
        texts = [report.text for report in reports]
        places = {text: place for place, text in enumerate(texts)}
        columns = np.array([places[record.text] for record in records])
        counts = np.bincount(columns, minlength=len(texts)).astype(np.float64)
        coded = np.array([record.coded for record in records], dtype=np.bool_)
        told = np.bincount(columns[coded], minlength=len(texts))
        shares = np.zeros((len(texts), len(codes)))
        np.add.at(shares, columns, carried(records, codes))
        filed = [
            FiledCase(Case(str(record.ecg_id), "", has_ecg=True), report_id(record.text))
            for record in records
        ]
        return cls(
            WholeIndex.of(GENERATION, reports, embedder.texts(texts)),
            WholeCases.of(GENERATION, filed, ecgs),
            texts,
            (shares > 0.0) & (shares >= 0.5 * told[:, None]),
            counts,
        )


class _Reports:
    """The parts of a `ReportCache` that a search needs."""

    def __init__(self, whole: WholeIndex) -> None:
        self._whole = whole

    def search(self, _: IndexInfo, embeddings: Embedding, count: int) -> list[list[Match]]:
        return self._whole.search(embeddings, count)

    def get(self, _: IndexInfo, _matches: Sequence[Match]) -> Mapping[str, Report]:
        return self._whole.reports

    def embeddings(self, _: IndexInfo, _ids: Sequence[str]) -> Mapping[str, Embedding]:
        return self._whole.embeddings


class _Cases:
    """The part of a `CaseCache` that a search needs."""

    def __init__(self, whole: WholeCases) -> None:
        self._whole = whole

    def search(
        self,
        _: IndexInfo,
        embeddings: Embedding,
        count: int,
        expression: str,
        *,
        of_text: bool,
    ) -> list[list[CaseMatch]]:
        assert not expression
        return self._whole.search(embeddings, count)


@dataclass(frozen=True, slots=True)
class Model:
    """What searches.

    Attributes:
        embedder: embeds ECGs and texts.
        info: its version and image.
        predictor: of statements, None where the version has none.
    """

    embedder: Embedder
    info: ModelInfo
    predictor: Predictor | None

    @classmethod
    def of(cls, embedder: Embedder, version: str, calibration: Calibration | None) -> "Model":
        """Prepare an embedder of one image."""
        predictor = None
        if calibration is not None:
            prompts = embedder.texts([one.prompt for one in calibration.statements])
            predictor = Predictor(calibration, prompts)
        dimension = embedder.texts(["sinus rhythm"]).shape[1]
        return cls(embedder, ModelInfo(version, embedder.specs[0], dimension), predictor)

    def found(self, archive: Archive, ecgs: Embedding, by: Nearness) -> list[list[Match]]:
        """Return what is found for (ECGs, E) embeddings, as the service finds it."""
        index = IndexInfo(
            "archive", GENERATION, self.info.version, 0.0, self.info.dimension, "FLAT",
            has_cases=True,
        )  # fmt: skip
        search = NearestSearch(
            cast(ReportIndex, None),
            cast(ReportCache, _Reports(archive.reports)),
            cast(CaseCache, _Cases(archive.cases)),
        )
        snapshot = ServingSnapshot(self.info, index, None, self.predictor)
        found: list[list[Match]] = []
        for first in range(0, len(ecgs), BATCH):
            some = ecgs[first : first + BATCH]
            known = self.predictor.probabilities(some) if self.predictor else None
            questions = [Question(NDCG_AT, by=by)] * len(some)
            answered, _ = search.of_ecgs(snapshot, some, questions, [VOTERS] * len(some), known)
            found += [one.matches for one in answered]
        return found


Answers = dict[str, dict[str, Values]]
"""By nearness or baseline and figure, the (ECGs,) value of each ECG."""


def archive_of(
    task: Task, embedder: Embedder, codes: Sequence[str], track: Track
) -> tuple[Archive, int]:
    """Embed the cases of the training folds, and return them with their number."""
    ecgs = task.archive
    vectors = np.concatenate(
        [
            embedder.images(images)
            for first in track(range(0, len(ecgs.records), BATCH), "embedding the archive")
            for images in images_of(_part(ecgs, first), embedder.specs)
        ]
    )
    return Archive.of(ecgs.records, vectors, embedder, codes), len(ecgs.records)


def _part(ecgs: Ecgs, first: int) -> Ecgs:
    return ecgs.rows(range(first, min(first + BATCH, len(ecgs.records))))


def measure(
    model: Model, archive: Archive, task: Task, ecgs: Embedding, codes: Sequence[str], seed: int = 0
) -> Answers:
    """Measure each kind of nearness, and the baselines, for each of the task's ECGs.

    Args:
        model: what searches.
        archive: what is searched.
        task: the ECGs that ask.
        ecgs: (ECGs, E) their embeddings.
        codes: the statements that are compared.
        seed: of the order of ties.

    Returns:
        Recalls of the ECG's text in per cent, and agreement of statements from 0 to 1. The majority
        has the best order for each that is the same for every ECG. The limit is what a recall can
        reach, since some texts are not in the archive.
    """
    random = np.random.default_rng(seed)
    places = {report_id(text): place for place, text in enumerate(archive.texts)}
    own = np.array([places.get(report_id(record.text), -1) for record in task.records])
    gains = agreement(carried(task.records, codes), archive.statements)
    gains[[not record.coded for record in task.records]] = np.nan  # nobody knows what agrees
    shape = (len(own), len(archive.texts))
    common = np.broadcast_to(archive.commonness, shape)
    typical = np.broadcast_to(archive.typicality, shape)
    found: Answers = {
        MAJORITY: _recalls(common, own) | _agreements(typical, gains, random),
        LIMIT: {LIMIT: np.where(own >= 0, 100.0, 0.0)},
    }
    scored: dict[str, Scores] = {CHANCE: np.zeros(shape)}
    for by in Nearness:
        scores = np.full(shape, -np.inf)
        for row, matches in zip(scores, model.found(archive, ecgs, by), strict=True):
            for match in matches:
                row[places[match.report_id]] = match.score
        scored[by.name] = scores
    for name, scores in scored.items():
        found[name] = _recalls(scores, own) | _agreements(scores, gains, random)
    return found


def _recalls(scores: Scores, own: NDArray[np.int64]) -> dict[str, Values]:
    there = own >= 0  # a text that the archive lacks is found by nobody
    values = 100.0 * recalls(scores, np.maximum(own, 0)) * there[:, None]
    return {f"R@{k}": values[:, place] for place, k in enumerate(RANKS)}


def _agreements(scores: Scores, gains: Values, random: np.random.Generator) -> dict[str, Values]:
    order = nearest(scores, NDCG_AT, random)
    return {
        f"jaccard@{JACCARD_AT}": mean_gain(gains, order[:, :JACCARD_AT]),
        f"nDCG@{NDCG_AT}": ndcg(gains, order),
    }


def summary(answers: Answers, archive: Archive, cases: int, subset: Subset) -> dict[str, Any]:
    """Return each figure over a subset's ECGs as [mean, low, high], and what ECGs add to REPORT."""
    report = answers[Nearness.REPORT.name]
    return {
        "archive": {
            "cases": cases,
            "texts": len(archive.texts),
            "limit": _means(answers[LIMIT], subset)[LIMIT],
        },
        "figures": {
            name: _means(figures, subset) for name, figures in answers.items() if name != LIMIT
        },
        "more than REPORT": {
            by.name: _means(
                {name: values - report[name] for name, values in answers[by.name].items()}, subset
            )
            for by in (Nearness.ECG, Nearness.BOTH)
        },
    }


def _means(figures: Mapping[str, Values], subset: Subset) -> dict[str, list[float]]:
    found = {}
    for name, values in figures.items():
        interval = subset.interval(values)
        if interval is None:  # no ECG has codes
            continue
        found[name] = interval.rounded(2 if name.startswith("R@") or name == LIMIT else 4)
    return found
