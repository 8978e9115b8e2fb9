"""What `cardex evaluate` does."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track as rich_track

from cardex.domain.errors import ConfigurationError, InvalidQuestion, InvalidReport
from cardex.domain.jobs import Question
from cardex.evaluation import cases, drafts, languages, novelty, reranking, retrieval
from cardex.evaluation.caching_embedder import CachingEmbedder, Track
from cardex.evaluation.calibration import Curve
from cardex.evaluation.dataset import open_dataset
from cardex.evaluation.embedder import OnnxEmbedder
from cardex.evaluation.evaluate import Outcome, difference, figures, outcome_of
from cardex.evaluation.intervals import Subset
from cardex.evaluation.limits import gallery_warnings, obstacles
from cardex.evaluation.metrics import Values
from cardex.evaluation.probabilities import Detector
from cardex.evaluation.protocols import (
    CASES,
    COMPARED,
    DRAFTS,
    ECGS,
    LANGUAGES,
    NOVELTY,
    PROTOCOLS,
    chosen,
)
from cardex.evaluation.provenance import provenance
from cardex.evaluation.retrieval import Answers
from cardex.evaluation.show import show
from cardex.evaluation.task import TRAINING_FOLDS, Task, gallery_of, task_of
from cardex.inference.repository import newest
from cardex.inference.statements import Calibration
from cardex.reports.ptbxl import TABLE
from cardex.retrieval.reranking import check_rerank


@dataclass(frozen=True, slots=True)
class Measurement:
    """What to measure, and on what.

    Attributes:
        data: PTB-XL's folder, or a manifest's CSV file.
        fold: the fold whose ECGs are the queries.
        gallery: number of reports in the gallery.
        work: folder that keeps cleaned waveforms; None to keep none.
        rerank: how many of the nearest reports the matcher re-ranks; 0 for none.
        weights: factors of the match logits to compare; empty for the repository's own.
        protocols: names of what is measured; empty for everything.
        ecgs: names of the subsets of the ECGs; empty for all that the data set tells apart.
        against: a repository whose models are compared, ECG by ECG; None for no comparison.
    """

    data: Path
    fold: int
    gallery: int
    work: Path | None = None
    rerank: int = 0
    weights: tuple[float, ...] = ()
    protocols: tuple[str, ...] = ()
    ecgs: tuple[str, ...] = ()
    against: Path | None = None


def source(ptbxl: Path | None, manifest: Path | None) -> Path:
    """Return the data set's path that was given.

    Raises:
        InvalidReport: if `ptbxl` is not a folder, or `manifest` is not a file.
    """
    if ptbxl is not None:
        if not ptbxl.is_dir():
            raise InvalidReport(f"{ptbxl} is no folder: --ptbxl takes the one that holds {TABLE}")
        return ptbxl
    if manifest is None or not manifest.is_file():
        raise InvalidReport(f"{manifest} is no file: --manifest takes a CSV file of ECGs")
    return manifest


def run_evaluate(what: Measurement, repository: Path, *, as_json: bool, console: Console) -> None:
    """Measure the models of a repository on one fold, and print every figure.

    Raises:
        CardexError: if the data, the fold, an option or the repository cannot be used, or nothing
            that is wanted can be measured.
    """
    protocols = chosen("--protocol", what.protocols, PROTOCOLS)
    if what.against and not set(protocols) & set(COMPARED):
        raise InvalidQuestion(
            f"--against compares {', '.join(COMPARED)}: choose one of them, or leave it out"
        )
    if what.ecgs:
        what = replace(what, ecgs=chosen("--ecgs", what.ecgs, ECGS))
    embedder = OnnxEmbedder(repository)
    other = OnnxEmbedder(what.against) if what.against else None
    weights = _weights(what, protocols, embedder, repository)
    with console.status("reading ECGs"):
        task = task_of(open_dataset(what.data, what.work), what.fold, what.gallery)
    subsets = task.subsets(what.ecgs)  # fails, if it does, before anything is embedded
    rows = np.unique(np.concatenate([subset.rows for subset in subsets]))
    protocols, unmeasured = _measurable(protocols, task, rows, embedder)
    if not protocols:
        raise InvalidQuestion(f"{'; '.join(unmeasured)}: choose another --protocol, or other data")
    measured = _Measured.by(embedder, task, protocols, _tracker(console))
    again = measured.again(what.rerank, weights, protocols)
    compared = None
    if other is not None:
        wanted = [name for name in protocols if name in COMPARED]
        shared, more = _measurable(wanted, task, rows, other)
        unmeasured += more
        compared = _Measured.by(other, task, shared, _tracker(console)) if shared else None
    found: dict[str, Any] = {
        "model_version": embedder.version,
        **({"against": other.version} if other else {}),
        "data": what.data.name,
        "fold": what.fold,
        **provenance(),
        "warnings": [*unmeasured, *_warnings(what, embedder, task, protocols)],
        "figures": {},
    }
    for subset in subsets:
        own = measured.figures(subset) | again.figures(subset)
        if compared is not None:
            own["difference"] = difference(measured.outcome, compared.outcome, task, subset)
        found["figures"][subset.name] = own
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        show(Console(highlight=False), found)


def _measurable(
    protocols: Sequence[str], task: Task, rows: NDArray[np.int64], embedder: OnnxEmbedder
) -> tuple[tuple[str, ...], list[str]]:
    """Return the protocols that can be measured, and why the others cannot."""
    by_name = obstacles(protocols, described(task, embedder.calibration), rows, embedder)
    by_reason: dict[str, list[str]] = {}
    for name, why in by_name.items():
        by_reason.setdefault(why, []).append(name)
    words = [f"not measured: {', '.join(names)}: {why}" for why, names in by_reason.items()]
    return tuple(name for name in protocols if name not in by_name), words


def _weights(
    what: Measurement, protocols: Sequence[str], embedder: OnnxEmbedder, repository: Path
) -> tuple[float, ...]:
    """Return the match weights; checks options first that would fail only after minutes."""
    check_rerank(Question(rerank=what.rerank))
    if not what.rerank:
        if what.weights:
            raise InvalidQuestion("--match-weight weighs what --rerank K asks: give both")
        return ()
    if not set(protocols) & set(reranking.PROTOCOLS):
        raise InvalidQuestion(
            f"--rerank is measured by {', '.join(reranking.PROTOCOLS)}: choose one of them"
        )
    if not embedder.has_matcher:
        raise ConfigurationError(f"the model in {repository} has no matcher: leave out --rerank")
    if what.weights:
        return what.weights
    if embedder.calibration is None:
        raise ConfigurationError(
            f"{newest(repository).statements}, which has the match weight, is missing: give"
            " --match-weight"
        )
    return (embedder.calibration.match_weight,)


@dataclass(frozen=True, slots=True)
class _Reranked:
    """Figures after re-ranking.

    Attributes:
        count: how many reports were re-ranked; 0 for none.
        ms_per_ecg: mean time of it.
        answers: figures of each ECG by match weight.
    """

    count: int = 0
    ms_per_ecg: float = 0.0
    answers: Mapping[float, Answers] = field(default_factory=dict)

    def figures(self, subset: Subset) -> dict[str, Any]:
        """Return the figures on a subset of the ECGs, nothing if nothing was re-ranked."""
        if not self.count:
            return {}
        by_weight = [
            {"match_weight": weight, **retrieval.summary(answers, subset)}
            for weight, answers in self.answers.items()
        ]
        return {
            "re-ranked": {
                "count": self.count,
                "ms_per_ecg": round(self.ms_per_ecg, 1),
                "by_weight": by_weight,
            }
        }


@dataclass(frozen=True, slots=True)
class _Found:
    """How an archive of cases was searched."""

    answers: cases.Answers
    archive: cases.Archive
    count: int

    @classmethod
    def by(
        cls,
        embedder: OnnxEmbedder,
        caching: CachingEmbedder,
        task: Task,
        outcome: Outcome,
        track: Track,
    ) -> "_Found":
        """Search the training folds' cases for each ECG of the task."""
        codes = sorted(
            {code for record in (*task.records, *task.training) for code in record.codes}
        )
        archive, count = cases.archive_of(task, caching, codes, track)
        model = cases.Model.of(caching, embedder.version, embedder.calibration)
        answers = cases.measure(model, archive, task, outcome.ecgs, codes)
        return cls(answers, archive, count)

    def figures(self, subset: Subset) -> dict[str, Any]:
        """Return every figure on a subset of the ECGs."""
        return cases.summary(self.answers, self.archive, self.count, subset)


@dataclass(frozen=True, slots=True)
class _Measured:
    """A repository's models with what they answered.

    Attributes:
        embedder: the models.
        caching: embeds reports with them, each once.
        task: ECGs and galleries.
        outcome: what was answered.
        names: the statements' names in every language; empty if they are not measured.
        alarms: which ECGs are called unlike the training ECGs; empty if that is not measured.
        drafts: whether drafts are measured too.
        found: how the archive of cases was searched; None if that is not measured.
        track: shows the progress.
    """

    embedder: OnnxEmbedder
    caching: CachingEmbedder
    task: Task
    outcome: Outcome
    names: languages.Names
    alarms: Mapping[str, Values]
    drafts: bool
    found: _Found | None
    track: Track

    @classmethod
    def by(
        cls, embedder: OnnxEmbedder, task: Task, protocols: Sequence[str], track: Track
    ) -> "_Measured":
        """Ask the models about every ECG; the protocols must be measurable."""
        task = described(task, embedder.calibration)
        caching = CachingEmbedder(embedder, track)
        calibration = embedder.calibration
        outcome = outcome_of(
            caching, task, detectors_of(calibration), protocols,
            calibration.agreement if calibration else None,
        )  # fmt: skip
        drafted = DRAFTS in protocols
        names = languages.embed_names(caching, task.kinds) if LANGUAGES in protocols else {}
        alarms: Mapping[str, Values] = {}
        if NOVELTY in protocols and embedder.novelty is not None:
            alarms = novelty.alarms(embedder, embedder.novelty, task.ecgs, outcome.ecgs)
        found = None
        if CASES in protocols:
            found = _Found.by(embedder, caching, task, outcome, track)
        return cls(embedder, caching, task, outcome, names, alarms, drafted, found, track)

    def figures(self, subset: Subset) -> dict[str, Any]:
        """Return every figure on a subset of the ECGs."""
        found, coded = figures(self.outcome, self.task, subset), self.task.coded(subset)
        if self.names and coded is not None:
            every = languages.summary(self.outcome.ecgs, self.names, self.task.records, coded)
            found |= {LANGUAGES: every} if every else {}
        if self.alarms:
            found[NOVELTY] = novelty.summary(self.alarms, subset)
        if self.found is not None:
            found[CASES] = self.found.figures(subset)
        if self.drafts:
            records = [self.task.records[row] for row in subset.rows]
            ranking = self.outcome.ranking.rows(subset.rows)
            found[DRAFTS] = drafts.measure(ranking, records, self.task.training, self.task.kinds)
        return found

    def again(self, count: int, weights: Sequence[float], protocols: Sequence[str]) -> _Reranked:
        """Measure retrieval after the matcher has re-ranked the `count` nearest reports."""
        wanted = [name for name in reranking.PROTOCOLS if name in protocols]
        if not count or not wanted:
            return _Reranked()
        gallery = gallery_of(self.task)
        scored = self.outcome.ranking.scores(gallery.texts, gallery.commonness)
        match_logits, cost = reranking.ask(
            self.embedder, self.task.ecgs, gallery.texts, scored.ranked, count, self.track
        )
        answers = reranking.compare(
            scored.ranked, match_logits, scored.similarity, gallery, weights, wanted
        )
        return _Reranked(count, cost, dict(zip(weights, answers, strict=True)))


def _warnings(
    what: Measurement, embedder: OnnxEmbedder, task: Task, protocols: Sequence[str]
) -> list[str]:
    found = gallery_warnings(task, what.gallery, protocols)
    if what.fold in TRAINING_FOLDS:
        data = "the model was" if what.data.is_dir() else "a model of this manifest was"
        found.append(
            f"{data} trained on this fold ({what.fold}): its figures do not hold for other ECGs"
        )
    lost = int((~task.ecgs.calibrated).sum())
    if lost and embedder.spec.scaling == "millivolt":
        found.append(
            f"{lost} ECGs are z-scores, and the model's image has the scale of millivolts: its"
            " figures are too low; --ecgs representative has none of them"
        )
    return found


def _tracker(console: Console) -> Track:
    def track(numbers: Sequence[int], title: str) -> Iterable[int]:
        return rich_track(
            numbers, title, console=console, transient=True, disable=not console.is_terminal
        )

    return track


def described(task: Task, calibration: Calibration | None) -> Task:
    """Return the task with the model's prompts in place of descriptions that are only codes.

    A manifest has no descriptions of its statements.
    """
    words = {each.code: each.prompt for each in calibration.statements} if calibration else {}
    return replace(
        task,
        kinds={
            code: replace(kind, description=words.get(code, code))
            if kind.description == code
            else kind
            for code, kind in task.kinds.items()
        },
    )


def detectors_of(calibration: Calibration | None) -> dict[str, Detector]:
    """Return the detectors of the calibrated statements, by code."""
    return {
        each.code: Detector(each.prompt, Curve(each.slope, each.intercept, each.share))
        for each in (calibration.statements if calibration else ())
    }
