"""Cases: filed, found by their ECGs, filtered, shown and erased, on a stack of their own."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from cardex.api.client import Client
from cardex.api.convert.cases import filter_message
from cardex.api.pb.v1 import case_pb2, ecg_retrieval_pb2, job_pb2, report_pb2
from cardex.domain.cases import Case, CaseFilter, Nearness, Sex
from cardex.domain.errors import CaseNotFound, InvalidQuestion
from cardex.domain.jobs import Question
from cardex.domain.reports import Statement
from cardex.reports.language import language_of
from cardex.reports.ptbxl import read_records
from cardex.signals.trace import unpack
from tests.helpers.stack import running_stack

COUNT = 120
ASKED = 40
"""Records that are asked about, and that have no ECG in the index."""


def ptbxl_cases(folder: Path) -> list[tuple[Case, Path]]:
    """Return cases of real records, with ages and sexes that are made up."""
    found: list[tuple[Case, Path]] = []
    for record in read_records(folder):
        path = folder / f"{record.path}.hea"
        if record.text and path.is_file():
            number = len(found)
            case = Case(
                str(record.ecg_id),
                record.text,
                age=20 + number % 70,
                sex=(Sex.FEMALE, Sex.MALE, Sex.UNKNOWN)[number % 3],
                month=f"20{10 + number % 9}-0{1 + number % 9}",
                device=record.device,
                statements=tuple(Statement(code, likelihood=None) for code in record.codes),
            )
            found.append((case, path))
        if len(found) == COUNT + ASKED:
            break
    return found


@pytest.fixture(scope="module")
def archive(shared):
    return ptbxl_cases(shared / "ptbxl")


@pytest.fixture(scope="module")
def client(tmp_path_factory, archive):
    """A client of a stack whose index has `COUNT` cases with ECGs and some without."""
    folder = tmp_path_factory.mktemp("cases")
    with (
        running_stack(folder, routine_workers=1) as (_, settings),
        Client.from_settings(settings) as client,
    ):
        index = client.begin_rebuild()
        with_ecg = archive[:COUNT]
        without = [(replace(c, case_id=f"text-{c.case_id}"), None) for c, _ in archive[COUNT:]]
        *_, sent = client.file_cases([*with_ecg, *without], index.name)
        assert (sent.cases, sent.without_ecg, sent.refused) == (COUNT + ASKED, 0, 0)
        answering = client.commit_rebuild(index.name)
        wait_for(client, archive[0][1], answering.generation)
        yield client


def wait_for(client: Client, path: Path, generation: str) -> None:
    """Wait until workers answer by this generation: they look at the index once a second."""
    until = time.monotonic() + 30
    while client.retrieve(path, Question(1)).answer.index_generation != generation:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_the_index_tells_how_many_cases_it_has(client, archive):
    info = client.index()
    assert info.case_count == COUNT + ASKED
    assert info.report_count == len({case.text for case, _ in archive})


@pytest.mark.parametrize("by", [Nearness.ECG, Nearness.BOTH])
def test_an_ecg_finds_its_own_case_first(client, archive, by):
    case, path = archive[3]
    answer = client.retrieve(path, Question(5, by=by)).answer
    first = answer.hits[0]
    assert (
        answer.by
        == {Nearness.ECG: case_pb2.NEARNESS_ECG, Nearness.BOTH: case_pb2.NEARNESS_BOTH}[by]
    )
    assert first.report.text == case.text
    assert first.cases[0].case_id == case.case_id
    assert first.cases[0].similarity == pytest.approx(1.0, abs=1e-3)
    assert first.ecg_similarity == pytest.approx(first.cases[0].similarity)
    assert first.cases[0].age == case.age
    assert first.cases[0].has_ecg


def test_every_hit_says_both_similarities_where_its_report_has_an_ecg(client, archive):
    recorded = {case.text for case, _ in archive[:COUNT]}
    for by in Nearness:
        answer = client.retrieve(archive[COUNT][1], Question(20, by=by)).answer
        assert len(answer.hits) == 20
        for hit in answer.hits:
            assert hit.HasField("report_similarity")
            assert hit.HasField("ecg_similarity") == (hit.report.text in recorded)
            assert hit.cases
            near = [case.similarity for case in hit.cases if case.has_ecg]
            assert near == sorted(near, reverse=True)


def test_nearness_by_ecg_is_the_order_of_exact_similarities(client, archive):
    answer = client.retrieve(archive[COUNT + 1][1], Question(20, by=Nearness.ECG)).answer
    similarities = [hit.ecg_similarity for hit in answer.hits]
    assert similarities == sorted(similarities, reverse=True)
    assert [hit.score for hit in answer.hits] == pytest.approx(similarities, abs=1e-6)


def test_a_text_finds_cases_by_their_ecgs(client, archive):
    answer = client.search("atrial fibrillation", 10, by=Nearness.ECG)
    assert answer.hits
    assert all(hit.cases[0].has_ecg for hit in answer.hits)


FILTERS = {
    "age": (CaseFilter(min_age=30, max_age=40), lambda c: c.age is not None and 30 <= c.age <= 40),
    "sex": (CaseFilter(sex=Sex.FEMALE), lambda c: c.sex is Sex.FEMALE),
    "with code": (CaseFilter(with_codes=("NORM",)), lambda c: "NORM" in codes(c)),
    "without codes": (
        CaseFilter(without_codes=("NORM", "SR")),
        lambda c: not {"NORM", "SR"} & codes(c),
    ),
    "months": (
        CaseFilter(from_month="2012-01", to_month="2014-12"),
        lambda c: "2012-01" <= c.month <= "2014-12",
    ),
    "device": (
        CaseFilter(devices=("at-6  6", "CS-12   E")),
        lambda c: c.device in ("AT-6 6", "CS-12 E"),
    ),
    "language": (CaseFilter(languages=("DE",)), lambda c: language_of(c.text) == "de"),
}


def codes(case: Case) -> set[str]:
    return {statement.code for statement in case.statements}


@pytest.mark.parametrize("by", list(Nearness))
@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_lets_through_what_fits_and_nothing_else(client, archive, name, by):
    wanted, fits = FILTERS[name]
    known = {case.case_id: case for case, _ in archive}
    answer = client.retrieve(archive[COUNT + 2][1], Question(100, by=by, filter=wanted)).answer
    assert answer.hits
    assert answer.filter == filter_message(wanted)
    shown = {case.case_id for hit in answer.hits for case in hit.cases}
    assert all(fits(known[one.removeprefix("text-")]) for one in shown)
    texts = {
        case.text for case, _ in archive[: COUNT if by is Nearness.ECG else None] if fits(case)
    }
    assert {hit.report.text for hit in answer.hits} == texts


def test_a_filter_that_tries_to_be_an_expression_is_a_value(client, archive):
    for value in (
        '" or age >= 0 or device == "',
        "x' or 'a' == 'a",
        "]) or array_contains(codes, ''",
    ):
        for wanted in (CaseFilter(devices=(value,)), CaseFilter(with_codes=(value,))):
            question = Question(5, by=Nearness.BOTH, filter=wanted)
            assert not client.retrieve(archive[0][1], question).answer.hits
        assert not client.search("infarct", 5, wanted=CaseFilter(languages=(value,))).hits


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (CaseFilter(min_age=-1), "min_age"),
        (CaseFilter(max_age=151), "max_age"),
        (CaseFilter(from_month="2012"), "from_month"),
        (CaseFilter(to_month="2012-13"), "to_month"),
        (CaseFilter(with_codes=("x",) * 21), "with_codes"),
        (CaseFilter(devices=(" ",)), "devices"),
    ],
)
def test_a_filter_that_cannot_be_is_refused_with_its_field(client, archive, wanted, field):
    with pytest.raises(InvalidQuestion) as caught:
        client.retrieve(archive[0][1], Question(5, filter=wanted))
    assert caught.value.field == f"question.filter.{field}"


def test_a_case_is_shown_with_its_report_and_its_ecg(client, archive):
    case, _ = archive[5]
    found = client.case(case.case_id)
    assert found.report.text == case.text
    assert found.case.sex == {Sex.FEMALE: 1, Sex.MALE: 2, Sex.UNKNOWN: 0}[case.sex]
    assert {one.code for one in found.case.statements} == codes(case)
    assert len(found.trace.packed) <= 16 * 1024
    assert unpack(found.trace.packed, found.trace.samples).shape == (12, 1000)
    assert len(found.trace.r_peaks) > 3
    assert found.disclaimer == "RESEARCH USE ONLY"
    assert not client.case(f"text-{archive[COUNT][0].case_id}").HasField("trace")
    with pytest.raises(CaseNotFound):
        client.case("never")


def test_an_answer_holds_the_ecg_where_the_question_wants_it(client, archive):
    path = archive[COUNT + 3][1]
    answer = client.retrieve(path, Question(3, trace=True)).answer
    assert answer.trace.samples == 1000
    again = client.retrieve(path, Question(3, trace=True)).answer
    assert again.from_cache
    assert again.trace == answer.trace
    assert not client.retrieve(path, Question(3)).answer.HasField("trace")


def file_as(client: Client, case_id: str, path: Path, text: str) -> job_pb2.Job:
    """Have one ECG answered and filed, as an archive does."""
    from cardex.api.ecgs import ecg_of_files
    from cardex.api.recordings import one_recording_files

    request = ecg_retrieval_pb2.SubmitBatchRequest(
        item_id="1",
        ecg=ecg_of_files(one_recording_files(path)),
        question=ecg_retrieval_pb2.Question(top_k=3),
        file_as=case_pb2.FileAs(case=report_pb2.Case(case_id=case_id, age=50), report=text),
    )
    (response,) = client.submit([request])
    assert response.HasField("job"), response.error
    (job,) = client.finished([response.job.job_id], timeout_s=60.0)
    return job


def test_an_ecg_is_answered_and_filed_in_one_stream_and_erased_again(client, archive):
    path, text = archive[COUNT + 4][1], "a report that nobody wrote before"
    before = client.index()
    job = file_as(client, "new-1", path, text)
    assert job.state == job_pb2.JOB_STATE_SUCCEEDED, job.error
    assert job.answer.case_id == "new-1"
    assert job.answer.hits
    after = client.index()
    assert (after.case_count, after.report_count) == (
        before.case_count + 1,
        before.report_count + 1,
    )
    question = Question(1, by=Nearness.ECG)
    wait_for(client, path, after.generation)
    found = client.retrieve(path, question).answer.hits[0]
    assert (found.report.text, found.cases[0].case_id) == (text, "new-1")
    # The same again is the same case.
    assert file_as(client, "new-1", path, text).state == job_pb2.JOB_STATE_SUCCEEDED
    assert client.index().case_count == after.case_count
    assert client.case("new-1").report.record_count == 1

    assert client.delete_cases(["new-1", "never"]) == 1
    with pytest.raises(CaseNotFound):
        client.case("new-1")
    wait_for(client, path, client.index().generation)
    hits = client.retrieve(path, question).answer.hits
    assert text not in {hit.report.text for hit in hits}
    gone = client.index()
    assert (gone.case_count, gone.report_count) == (before.case_count, before.report_count)


def test_a_case_that_is_at_fault_is_refused_with_its_field(client, archive):
    request = ecg_retrieval_pb2.SubmitBatchRequest(
        item_id="1",
        file_as=case_pb2.FileAs(
            case=report_pb2.Case(case_id="a b", age=10), report="normal", only=True
        ),
    )
    (response,) = client.submit([request])
    assert response.error.kind == "InvalidReport"
    assert response.error.field == "file_as.case.case_id"


def test_an_ecg_that_cannot_be_read_is_filed_without_it(client, archive, tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text("this is no ECG")
    case = replace(archive[0][0], case_id="unreadable")
    *_, sent = client.file_cases([(case, bad)])
    assert (sent.cases, sent.without_ecg, sent.refused) == (1, 1, 0)
    assert "unreadable" in sent.reasons[0]
    assert not client.case("unreadable").case.has_ecg
    assert client.delete_cases(["unreadable"]) == 1
