"""What all peers share: the work of a record, and what is made of their measurements."""

from contextlib import contextmanager

import numpy as np
import pytest

from cardex.api.convert.ecg import to_payload
from cardex.api.convert.jobs import decode_answer
from cardex.api.pb.v1 import ecg_pb2, job_pb2
from cardex.domain.errors import InvalidEcg
from cardex.inference.encoder import ModelInfo
from cardex.inference.repository import newest
from cardex.signals.image_spec import ImageSpec
from loadtest.ecgs import Ecgs
from loadtest.files import DicomFiles, WfdbFiles
from loadtest.peers.comparison import Run, check_alike, compare, figures_of
from loadtest.peers.work import MemoryIndex, OnnxEncoder, Work, report_embeddings
from tests.helpers.embeddings import unit
from tests.helpers.real import ROOT, demo_data, reports

REPOSITORY = ROOT / "model_repository"


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return Work(REPOSITORY, reports(300), tmp_path_factory.mktemp("kept"))


@pytest.fixture(scope="module")
def ecgs():
    data = demo_data()
    return Ecgs(data).take(12) + WfdbFiles(data).take(4) + DicomFiles(data).take(2)


@pytest.fixture(scope="module")
def answers(work, ecgs):
    return [decode_answer(one) for one in work.answer([to_payload(ecg) for ecg in ecgs])]


def test_an_answer_is_the_contracts_whole_one(answers):
    known = {report.report_id: report for report in reports(300)}
    for answer in answers:
        assert len(answer.hits) == 10
        scores = [hit.score for hit in answer.hits]
        assert scores == sorted(scores, reverse=True)
        assert all(hit.report.text == known[hit.report.report_id].text for hit in answer.hits)
        assert answer.draft.sentences and answer.predictions
        assert answer.signal_quality.heart_rate_bpm > 0
    assert any(answer.findings for answer in answers)


def test_records_answered_one_by_one_are_answered_as_in_a_batch(work, ecgs, answers):
    alone = [decode_answer(work.answer([to_payload(ecg)])[0]) for ecg in ecgs]
    check_alike("alone", answers, alone)


def test_an_ecg_that_cannot_be_answered_is_an_error(work, ecgs):
    with pytest.raises(InvalidEcg):
        work.answer([to_payload(ecgs[0]), to_payload(ecg_pb2.Ecg(file={"content": b"no ECG"}))])


def test_embeddings_are_computed_once_for_model_and_texts(tmp_path, monkeypatch):
    encoder = OnnxEncoder(newest(REPOSITORY))
    first = report_embeddings(encoder, reports(70), tmp_path)
    assert first.shape == (70, encoder.models()[0].dimension)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1.0, atol=1e-3)
    other = report_embeddings(encoder, reports(3), tmp_path)
    np.testing.assert_allclose(other, first[:3], atol=1e-5)
    monkeypatch.setattr(encoder, "embed_texts", lambda *_: pytest.fail("computed again"))
    np.testing.assert_array_equal(report_embeddings(encoder, reports(70), tmp_path), first)


def test_the_search_is_exact():
    some = reports(40)
    vectors = unit(np.random.default_rng(0).standard_normal((40, 8)))
    index = MemoryIndex(ModelInfo("m", ImageSpec(), 8), some, vectors)
    asked = unit(vectors[:3] + 0.01)
    for question, found in zip(asked, index.search(index.current(), asked, 5), strict=True):
        order = np.argsort(-(vectors @ question))[:5]
        assert [match.report_id for match in found] == [some[row].report_id for row in order]
        np.testing.assert_allclose([m.score for m in found], (vectors @ question)[order], rtol=1e-5)
    assert len(index.search(index.current(), asked[:1], 50)[0]) == 40


def changed(answer, change):
    copy = job_pb2.Answer()
    copy.CopyFrom(answer)
    change(copy)
    return copy


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: answer.hits.pop(),
        lambda answer: answer.ClearField("draft"),
        lambda answer: answer.ClearField("predictions"),
        lambda answer: setattr(answer.hits[3], "score", answer.hits[3].score + 0.01),
        lambda answer: setattr(answer.hits[9].report, "text", ""),
    ],
)
def test_a_way_that_answers_otherwise_is_not_compared(answers, change):
    check_alike("alike", answers[:1], answers[:1])
    with pytest.raises(SystemExit, match="LitServe answers ECG 1 otherwise"):
        check_alike("LitServe", answers[:2], [answers[0], changed(answers[1], change)])


class StandIn:
    """A way whose answers are given; it notes what it was asked."""

    def __init__(self, name, answer, log):
        self.name, self._answer, self._log = name, answer, log

    @contextmanager
    def running(self, folder):
        self._log.append(f"start {self.name}")
        yield self
        self._log.append(f"stop {self.name}")

    def requests(self, ecgs):
        return ecgs

    def answers(self, requests):
        self._log.append(requests)
        return [self._answer] * len(requests)


class Numbers:
    def __init__(self):
        self.next = 0

    def take(self, count):
        self.next += count
        return list(range(self.next - count, self.next))


def test_each_round_asks_all_ways_the_same_new_ecgs_one_way_at_a_time(answers, tmp_path):
    log: list[object] = []
    ways = [StandIn(name, answers[0], log) for name in ("Cardex", "Celery")]
    runs = compare(ways, {"typed": (Numbers(), 40)}, 2, tmp_path, lambda _: None)
    first, second = list(range(40)), list(range(50, 90))
    warm = list(range(40, 50)), list(range(90, 100))
    assert log == [
        "start Cardex", warm[0], first, "stop Cardex",
        "start Celery", warm[0], first, "stop Celery",
        "start Cardex", warm[1], second, "stop Cardex",
        "start Celery", warm[1], second, "stop Celery",
    ]  # fmt: skip
    assert {key: len(found) for key, found in runs.items()} == {
        ("typed", "Cardex"): 2, ("typed", "Celery"): 2,
    }  # fmt: skip


def test_figures_are_medians_and_ratios_those_of_the_rounds():
    runs = {
        ("typed", "Cardex"): [Run(100, 10, 1), Run(50, 20, 1), Run(80, 12, 1)],
        ("typed", "FastAPI"): [Run(50, 5, 2), Run(75, 6, 2), Run(80, 4, 2)],
    }
    figures = figures_of(runs, "Cardex")
    assert figures["typed, Cardex, records/s"] == 80
    assert figures["typed, FastAPI, records/s"] == 75
    assert figures["typed, FastAPI, over Cardex"] == 1.0
    assert figures["typed, FastAPI, core-ms"] == 5
    assert figures["typed, FastAPI, client's core-ms"] == 2
