"""Stand-ins for the remote parts, that keep what they are given and can be made to fail."""

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import cast

import numpy as np
import pytest

from cardex.domain.cases import FiledCase
from cardex.domain.errors import CardexError, IndexMissing, Unavailable
from cardex.domain.index import CaseMatch, IndexInfo, Match
from cardex.domain.jobs import (
    Claim,
    Job,
    JobError,
    JobState,
    Priority,
    Question,
)
from cardex.domain.reports import Report
from cardex.domain.trace import Trace
from cardex.inference.encoder import ModelInfo
from cardex.inference.novelty import EmbeddingSpace, Novelty
from cardex.inference.statements import CalibratedStatement, Calibration
from cardex.retrieval.active_index import ActiveIndex
from cardex.retrieval.filing import CaseFiler
from cardex.retrieval.retriever import Retriever
from cardex.signals.image_spec import ImageSpec
from cardex.stores.answer_cache import AnswerCache
from cardex.stores.case_filter import WITH_ECG
from cardex.stores.case_index import CaseRow
from cardex.stores.job_queue import Swept
from cardex.stores.report_index import ReportIndex

DIMENSION = 8
VERSION = "model-1"


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return vectors of length one: (..., dimension) float32."""
    vectors = vectors.astype(np.float32)
    normalised: np.ndarray = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return normalised


def text_vector(text: str, version: str = VERSION) -> np.ndarray:
    """One direction for each text and model, the same in every process."""
    space = [] if version == VERSION else list(version.encode())
    return unit(np.random.default_rng(space + list(text.encode())).standard_normal(DIMENSION))


def model_info(version: str = VERSION, **changes) -> ModelInfo:
    return replace(ModelInfo(version, ImageSpec(), DIMENSION), **changes)


class FakeEncoder:
    """The Encoder; `images` and `texts` keep each batch that it was given, `asked` who was asked.

    A version in `arriving` is served from the next fresh look on.
    """

    def __init__(self, *versions: str) -> None:
        self.served = tuple(model_info(version) for version in versions or (VERSION,))
        self.arriving: tuple[ModelInfo, ...] = ()
        self.error: CardexError | None = None
        self.looks = 0
        self.asked: list[str] = []
        self.images: list[np.ndarray] = []
        self.priorities: list[Priority] = []
        self.texts: list[list[str]] = []
        self.matched: list[list[list[str]]] = []

    def ping(self) -> None:
        self.models()

    def models(self, *, fresh: bool = False) -> tuple[ModelInfo, ...]:
        if self.error is not None:
            raise self.error
        if fresh:
            self.looks += 1
            self.served, self.arriving = self.arriving + self.served, ()
        return self.served

    def _ask(self, model: ModelInfo) -> None:
        if model not in self.models():
            raise Unavailable(f"{model.version} is served no more", reason="MODEL_GONE")
        self.asked.append(model.version)

    def embed_images(self, model: ModelInfo, images: np.ndarray, priority: Priority) -> np.ndarray:
        self._ask(model)
        self.images.append(images)
        self.priorities.append(priority)
        means = images.reshape(len(images), DIMENSION, -1).mean(axis=-1)
        return unit(means - means.mean(axis=1, keepdims=True))

    def embed_texts(self, model: ModelInfo, texts: Sequence[str], priority: Priority) -> np.ndarray:
        self._ask(model)
        self.texts.append(list(texts))
        self.priorities.append(priority)
        return np.stack([text_vector(text, model.version) for text in texts])

    def match(
        self,
        model: ModelInfo,
        images: np.ndarray,
        reports: Sequence[Sequence[str]],
        priority: Priority,
    ) -> list[np.ndarray]:
        """Match by the length of the text: the longer, the better."""
        self._ask(model)
        assert len(images) == len(reports)
        self.matched.append([list(texts) for texts in reports])
        return [np.array([len(text) for text in texts], dtype=np.float32) for texts in reports]


_OF_REPORTS = re.compile(r"report_id (?:in (\[.*?\])|== (\"[^\"]*\"))(?: and |$)")


class FakeCases:
    """The CaseIndex of a FakeStore: exact search in memory.

    Of expressions it understands which reports are named, and those that `predicates` tells.
    """

    def __init__(self, store: "FakeStore") -> None:
        self._store = store
        self.rows: dict[str, dict[str, CaseRow]] = {}
        self.predicates: dict[str, Callable[[FiledCase], bool]] = {}
        self.most = 16_384
        """Rows that are returned at once."""
        self.now = 0.0
        self.filed: dict[tuple[str, str], float] = {}

    def _fitting(self, index: IndexInfo, expression: str) -> list[CaseRow]:
        rows = list(self.of(index).values())
        if named := _OF_REPORTS.match(expression):
            wanted = ast.literal_eval(named[1] or named[2])
            ids = [wanted] if isinstance(wanted, str) else wanted
            rows = [row for row in rows if row.filed.report_id in ids]
            expression = expression[named.end() :]
        if expression.startswith(WITH_ECG):
            rows = [row for row in rows if row.filed.case.has_ecg]
            expression = expression[len(WITH_ECG) :].removeprefix(" and ")
        if expression:
            rows = [row for row in rows if self.predicates[expression](row.filed)]
        return rows

    def of(self, index: IndexInfo) -> dict[str, CaseRow]:
        return self.rows.setdefault(index.name, {})

    def count(self, index: IndexInfo) -> int:
        return len(self.of(index)) if index.has_cases else 0

    def upsert(self, index: IndexInfo, rows: Sequence[CaseRow]) -> None:
        self._store._called("cases.upsert")
        self.of(index).update({row.filed.case.case_id: row for row in rows})
        self.filed.update({(index.name, row.filed.case.case_id): self.now for row in rows})

    def get(self, index: IndexInfo, case_ids: Sequence[str]) -> dict[str, FiledCase]:
        self._store._called("cases.get")
        there = self.of(index)
        return {one: there[one].filed for one in case_ids if one in there}

    def traces(self, index: IndexInfo, case_ids: Sequence[str]) -> dict[str, Trace]:
        there = self.of(index)
        return {
            one: trace
            for one in case_ids
            if one in there and (trace := there[one].trace) is not None
        }

    def search(
        self, index: IndexInfo, embeddings: np.ndarray, count: int, expression: str = ""
    ) -> list[list[CaseMatch]]:
        self._store._called("cases.search")
        found = []
        for embedding in embeddings:
            matches = [
                CaseMatch(row.filed, float(embedding @ row.embedding))
                for row in self._fitting(index, expression)
                if row.embedding is not None
            ]
            found.append(sorted(matches, key=lambda match: -match.similarity)[:count])
        return found

    def of_reports(
        self,
        index: IndexInfo,
        report_ids: Sequence[str],
        expression: str = "",
        limit: int = 16_384,
    ) -> tuple[list[FiledCase], np.ndarray]:
        self._store._called("cases.of_reports")
        fitting = self._fitting(index, expression)
        rows = [row for row in fitting if row.filed.report_id in report_ids][
            : min(limit, self.most)
        ]
        return [row.filed for row in rows], _vectors(rows)

    def reports_with(self, index: IndexInfo, expression: str, limit: int = 0) -> list[str]:
        self._store._called("cases.reports_with")
        fitting = self._fitting(index, expression)
        return [row.filed.report_id for row in fitting[: limit or self.most]]

    def count_where(self, index: IndexInfo, expression: str) -> int:
        self._store._called("cases.count_where")
        return len(self._fitting(index, expression))

    def embedded_pages(
        self, index: IndexInfo, size: int = 1000
    ) -> Iterator[tuple[list[FiledCase], np.ndarray]]:
        """Yield the cases as they are when their page is read."""
        self._store._called("cases.pages")
        ids = list(self.of(index))
        for first in range(0, len(ids), size):
            there = self.of(index)
            rows = [there[one] for one in ids[first : first + size] if one in there]
            yield [row.filed for row in rows], _vectors(rows)

    def delete(self, index: IndexInfo, case_ids: Sequence[str]) -> None:
        self._store._called("cases.delete")
        for case_id in case_ids:
            self.of(index).pop(case_id, None)

    def settle(self, index: IndexInfo) -> None:
        self._store._called("cases.settle")

    def filed_since(self, index: IndexInfo, seconds: float) -> Iterator[list[CaseRow]]:
        there = self.of(index)
        yield [row for one, row in there.items() if self.filed[index.name, one] >= seconds]


def _vectors(rows: Sequence[CaseRow]) -> np.ndarray:
    vectors = [
        np.zeros(DIMENSION, np.float32) if row.embedding is None else row.embedding for row in rows
    ]
    return np.array(vectors, np.float32).reshape(len(rows), DIMENSION)


WRITES = {
    "cases.upsert", "cases.delete", "upsert", "delete", "touch", "pair", "create", "switch", "drop",
}  # fmt: skip


class FakeStore:
    """The ReportIndex: exact search in memory; `calls` tells what was asked of it, in order."""

    page = 2

    def __init__(self, model_version: str = VERSION, *, has_cases: bool = False) -> None:
        first = IndexInfo(
            "reports_1", "g1", model_version, 1.0, DIMENSION, "FLAT", has_cases=has_cases
        )
        self.indexes = {first.name: first}
        self.contents: dict[str, dict[str, tuple[Report, np.ndarray]]] = {first.name: {}}
        self.answering: str | None = first.name
        self.error: CardexError | None = None
        self.calls: list[str] = []
        self.top_ks: list[int] = []
        self.cases = FakeCases(self)
        self._has_cases = has_cases
        self._made = 1

    @property
    def index(self) -> IndexInfo | None:
        """The index that answers, None where there is none."""
        return self.indexes.get(self.answering or "")

    @index.setter
    def index(self, index: IndexInfo | None) -> None:
        self.answering = index.name if index else None
        if index:
            self.indexes[index.name] = index

    @property
    def writes(self) -> list[str]:
        """The changes among the calls."""
        return [call for call in self.calls if call in WRITES]

    def fill(self, *reports: Report) -> None:
        for report in reports:
            self.contents["reports_1"][report.report_id] = (report, text_vector(report.text))

    def reports(self, name: str) -> dict[str, Report]:
        return {report_id: report for report_id, (report, _) in self.contents[name].items()}

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.error is not None:
            raise self.error

    def model_in_force(self) -> str:
        return self.current().model_version

    def current(self) -> IndexInfo:
        self._called("current")
        if self.index is None:
            raise IndexMissing("there is no report index yet")
        return self.index

    def named(self, name: str) -> IndexInfo:
        self._called("named")
        if name not in self.indexes:
            raise IndexMissing(f"there is no index {name!r}", field="index")
        return self.indexes[name]

    def of_model(self, model_version: str) -> list[IndexInfo]:
        self._called("of_model")
        found = [one for one in self.indexes.values() if one.model_version == model_version]
        return sorted(found, key=lambda index: -index.created)

    def count(self, index: IndexInfo) -> int:
        self._called("count")
        return len(self.contents[index.name])

    def search(
        self, index: IndexInfo, embeddings: np.ndarray, top_k: int, among: Sequence[str] = ()
    ) -> list[list[Match]]:
        self._called("search")
        self.top_ks.append(top_k)
        found = []
        for embedding in embeddings:
            scores = {
                report_id: float(embedding @ vector)
                for report_id, (_, vector) in self.contents[index.name].items()
                if not among or report_id in among
            }
            nearest = sorted(scores, key=lambda report_id: -scores[report_id])[:top_k]
            found.append([Match(report_id, scores[report_id]) for report_id in nearest])
        return found

    def get(self, index: IndexInfo, report_ids: Sequence[str]) -> dict[str, Report]:
        self._called("get")
        there = self.contents[index.name]
        return {report_id: there[report_id][0] for report_id in report_ids if report_id in there}

    def embeddings(self, index: IndexInfo, report_ids: Sequence[str]) -> dict[str, np.ndarray]:
        self._called("embeddings")
        there = self.contents[index.name]
        return {report_id: there[report_id][1] for report_id in report_ids if report_id in there}

    def pages(self, index: IndexInfo) -> Iterator[list[Report]]:
        """Yield the reports as they are when their page is read."""
        self._called("pages")
        ids = list(self.contents[index.name])
        for first in range(0, len(ids), self.page):
            there = self.reports(index.name)
            yield [there[one] for one in ids[first : first + self.page] if one in there]

    def create(self, model_version: str, dimension: int) -> IndexInfo:
        self._called("create")
        self._made += 1
        made = IndexInfo(
            f"reports_{self._made}", "new", model_version, float(self._made), dimension, "FLAT",
            has_cases=self._has_cases,
        )  # fmt: skip
        self.indexes[made.name], self.contents[made.name] = made, {}
        return made

    def upsert(self, index: IndexInfo, reports: Sequence[Report], embeddings: np.ndarray) -> None:
        self._called("upsert")
        for report, vector in zip(reports, embeddings, strict=True):
            self.contents[index.name][report.report_id] = (report, vector)

    def delete(self, index: IndexInfo, report_ids: Sequence[str]) -> int:
        self._called("delete")
        there = self.contents[index.name]
        return sum(there.pop(report_id, None) is not None for report_id in set(report_ids))

    def touch(self, index: IndexInfo) -> IndexInfo:
        self._called("touch")
        return self._change(index, generation=f"{self.indexes[index.name].generation}+")

    def pair(self, index: IndexInfo, source: IndexInfo) -> IndexInfo:
        self._called("pair")
        return self._change(index, twin=(*source.contents, index.generation))

    def _change(self, index: IndexInfo, **changes) -> IndexInfo:
        self.indexes[index.name] = replace(self.indexes[index.name], **changes)
        return self.indexes[index.name]

    def settle(self, index: IndexInfo) -> None:
        self._called("settle")

    def every(self) -> list[IndexInfo]:
        return list(self.indexes.values())

    def switch(self, index: IndexInfo) -> IndexInfo:
        self._called("switch")
        self.answering = index.name
        return self._change(index, answered=True)

    def drop(self, index: IndexInfo) -> None:
        self._called("drop")
        self.indexes.pop(index.name, None)
        self.contents.pop(index.name, None)
        self.cases.rows.pop(index.name, None)


class FakeCache:
    """The AnswerCache in memory."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.vectors: dict[tuple[str, str], tuple] = {}

    def answers(self, keys: list[str]) -> list[bytes | None]:
        return [self.stored.get(key) for key in keys]

    def put_answers(self, answers: dict[str, bytes], index: IndexInfo) -> None:
        self.stored.update(answers)

    def forget(self, index: IndexInfo) -> None:
        self.stored.clear()
        self.vectors.clear()

    def embeddings(self, payloads: list[str], model_version: str) -> list[tuple | None]:
        return [self.vectors.get((sha256, model_version)) for sha256 in payloads]

    def put_embeddings(
        self, embedded: dict[str, tuple], model_version: str, index: IndexInfo
    ) -> None:
        self.vectors.update({(sha, model_version): value for sha, value in embedded.items()})


def calibration(
    *codes: str, version: str = VERSION, match_weight: float = 1.0, slope: float = 0.0
) -> Calibration:
    """Statements whose prompt is their code; without a slope each has a probability of one half."""
    statements = tuple(CalibratedStatement(code, code, code, slope, 0.0, "1") for code in codes)
    return Calibration(version, match_weight, statements, "fingerprint")


def novelty(threshold: float, version: str = VERSION) -> Novelty:
    """Distances from the zero vector, over one axis and what is beyond it."""
    axes = np.eye(DIMENSION)[:1]
    space = EmbeddingSpace(np.zeros(DIMENSION), axes, np.ones(1), 1.0)
    return Novelty(version, space, np.array([threshold, threshold]), f"over {threshold}")


class FreshActiveIndex(ActiveIndex):
    """Looks up at every question, so that a test need not wait for the background."""

    def current(self):
        self.refresh()
        return super().current()

    def last_known(self):
        self.refresh()
        return super().last_known()


class House:
    """A retriever with everything behind it; each look-up of the snapshot is a fresh one."""

    def __init__(
        self,
        *reports: Report,
        calibration: Calibration | None = None,
        novelty: Novelty | None = None,
        has_cases: bool = False,
    ) -> None:
        self.encoder, self.cache = FakeEncoder(), FakeCache()
        self.store = FakeStore(has_cases=has_cases)
        self.store.fill(*reports)
        self.active_index: ActiveIndex = FreshActiveIndex(
            self.encoder, self.store, lambda _: calibration, lambda _: novelty
        )
        self.retriever = Retriever(
            self.encoder,
            cast(ReportIndex, self.store),
            cast(AnswerCache, self.cache),
            self.active_index,
            filer=CaseFiler(self.encoder, cast(ReportIndex, self.store), lambda: FakeLock([])),
        )
        self.lost = False

    def require(self) -> None:
        """The right to write the index, until it is `lost`."""
        if self.lost:
            raise Unavailable("another may write", reason="INDEX_BUSY")


def a_job(job_id: str, *, payload: str = "", state: JobState = JobState.RUNNING) -> Job:
    return Job(job_id, "tests", state, Priority.ROUTINE, payload or job_id, Question(), 1, 0.0, 0.0)


class FakeJobs:
    """The JobQueue's side that a worker sees: a queue of payloads, and what became of each job."""

    def __init__(self, **payloads: bytes | None) -> None:
        self.limits = SimpleNamespace(lease_s=3600.0)
        self.waiting = [a_job(job_id) for job_id in payloads]
        self._payloads = payloads
        self.claimed: list[list[str]] = []
        self.idle_s: list[float] = []
        self.waited: list[float] = []
        self.on_wait: Callable[[], None] = lambda: None
        self.results: dict[str, bytes | JobError] = {}
        self.returned: dict[str, tuple[JobError, bool]] = {}
        self.lost: set[str] = set()

    def claim(
        self,
        priority: Priority,
        count: int,
        token: str = "token",
        idle_s: float = 0.0,
        share: int = 1,
    ) -> list[Claim]:
        self.idle_s.append(idle_s)
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        self.claimed.append([job.job_id for job in taken])
        return [Claim(job, token, self._payloads[job.job_id]) for job in taken]

    def wait(self, priority: Priority, seconds: float) -> bool:
        self.waited.append(seconds)
        self.on_wait()
        return bool(self.waiting)

    def finish(self, results) -> list[bool]:
        done = []
        for claim, result in results:
            done.append(claim.job.job_id not in self.lost)
            if done[-1]:
                self.results[claim.job.job_id] = result
        return done

    def release(self, claims, error: JobError, *, counted: bool) -> list[str]:
        for claim in claims:
            self.returned[claim.job.job_id] = (error, counted)
        return ["QUEUED"] * len(self.returned)

    def holds(self, claim: Claim) -> bool:
        return claim.job.job_id not in self.lost

    def extend(self, claims: Sequence[Claim]) -> None:
        raise AssertionError("no lease of an hour needs to be extended in a test")

    def sweep(self, priority: Priority) -> Swept:
        return Swept(0, 0)


class FakeLock:
    """A lock in this process; all that share `held` are the same one."""

    def __init__(self, held: "list[FakeLock]", lease_s: float = 15.0) -> None:
        self.held, self.lease_s = held, lease_s
        self.renewals = 0
        self.error: CardexError | None = None

    def take(self) -> bool:
        if self.held:
            return False
        self.held.append(self)
        return True

    def renew(self) -> bool:
        self.renewals += 1
        if self.error is not None:
            raise self.error
        return self in self.held

    def release(self) -> None:
        if self in self.held:
            self.held.remove(self)


class FakeClock:
    """In place of the module `time`: it passes only while someone sleeps, or sets it."""

    def __init__(self) -> None:
        self.now = 100.0

    @classmethod
    def installed(cls, monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> "FakeClock":
        """Put a new one into a module that imports `time`."""
        clock = cls()
        monkeypatch.setattr(module, "time", clock)
        return clock

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
