from typing import Any

import pytest

from cardex.api.pb.internal.v1.envelope_pb2 import BatchEnvelope, EcgEnvelope
from cardex.api.pb.v1 import case_pb2, ecg_pb2, job_pb2, report_pb2
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.domain.cases import CaseFilter, Nearness
from cardex.domain.errors import (
    IndexMissing,
    InvalidEcg,
    InvalidQuestion,
    InvalidReport,
    Overloaded,
    PayloadTooLarge,
    PermissionDenied,
    Unavailable,
)
from cardex.domain.jobs import DEFAULT_TOP_K, MAX_REQUEST_ID, JobState, Priority, Question
from cardex.domain.settings import Settings
from cardex.gateway.keys import Principal, Scope
from cardex.stores.submission import Submission
from tests.helpers.answers import ANSWER
from tests.helpers.gateway import ECG, ICU, SHA256, Parts, asked, service_of


@pytest.fixture
def service():
    """A service that is asked for submissions only, so that nothing is behind it."""
    return service_of(Settings(max_payload_bytes=1024), None, None)


def submission(service, default=Priority.STAT, **request):
    return service.submission(asked(**request), ICU, default)


def test_a_submission_belongs_to_its_caller(service):
    assert submission(service, request_id="r-1").owner == "icu"
    assert submission(service, request_id="r-1").request_id == "r-1"


@pytest.mark.parametrize("default", Priority)
def test_the_method_decides_the_priority_where_the_request_does_not(service, default):
    assert submission(service, default).priority is default


def test_the_request_decides_the_priority_where_it_can(service):
    assert submission(service, priority=job_pb2.PRIORITY_ROUTINE).priority is Priority.ROUTINE


def test_a_priority_that_does_not_exist_is_refused(service):
    with pytest.raises(InvalidQuestion) as caught:
        submission(service, priority=7)
    assert (caught.value.reason, caught.value.field) == ("PRIORITY", "priority")


def test_without_a_question_the_default_is_asked(service):
    assert submission(service).question == Question(DEFAULT_TOP_K, by=Nearness.BOTH)


@pytest.mark.parametrize("top_k", [0, -1, 101])
def test_a_top_k_out_of_range_is_refused_before_it_is_stored(service, top_k):
    with pytest.raises(InvalidQuestion) as caught:
        submission(service, question=pb.Question(top_k=top_k))
    assert (caught.value.reason, caught.value.field) == ("TOP_K", "question.top_k")


def test_a_request_without_an_ecg_is_refused(service):
    with pytest.raises(InvalidEcg) as caught:
        service.submission(EcgEnvelope(), ICU, Priority.STAT)
    assert (caught.value.reason, caught.value.field) == ("EMPTY_PAYLOAD", "ecg")


def test_an_ecg_over_the_limit_is_refused(service):
    large = ecg_pb2.Ecg(file=ecg_pb2.ClinicalFile(content=bytes(1025)))
    with pytest.raises(PayloadTooLarge):
        submission(service, ecg=large)


def test_a_long_request_id_is_refused(service):
    assert submission(service, request_id="x" * MAX_REQUEST_ID)
    with pytest.raises(InvalidQuestion) as caught:
        submission(service, request_id="x" * (MAX_REQUEST_ID + 1))
    assert (caught.value.reason, caught.value.field) == ("REQUEST_ID", "request_id")


def test_the_claim_check_is_the_hash_of_the_ecg_alone(service):
    one = submission(service, request_id="r-1")
    other = submission(service, request_id="r-2", question=pb.Question(top_k=3))
    assert one.sha256 == other.sha256


# Submitting, with everything behind the service made up.


@pytest.fixture
def parts():
    return Parts()


def submit(parts, **request):
    return parts.service.submit_one(asked(**request), ICU, Priority.ROUTINE)


async def test_a_job_waits_for_a_part_that_is_down(parts):
    parts.health.outage = Unavailable("Triton is down")
    assert (await submit(parts)).job_id == "j1"


async def test_no_job_waits_for_an_index_that_is_missing(parts):
    parts.health.outage = IndexMissing("there is no report index yet")
    with pytest.raises(IndexMissing):
        await submit(parts)
    assert not parts.jobs.submitted


async def test_a_known_answer_makes_a_job_that_is_answered_at_once(parts):
    parts.retriever.known[SHA256] = ANSWER
    await submit(parts)
    ((submission, answer),) = parts.jobs.submitted
    assert (submission.sha256, answer) == (SHA256, ANSWER.message)


async def test_a_single_ecg_is_refused_while_the_queue_is_full(parts):
    parts.jobs.errors = [Overloaded("jobs wait", retry_after_s=5.0)]
    with pytest.raises(Overloaded):
        await submit(parts)


async def test_the_job_of_an_earlier_submission_is_returned(parts):
    parts.jobs.known["r-1"] = "j9"
    assert (await submit(parts, request_id="r-1")).job_id == "j9"


def batch(**request) -> BatchEnvelope:
    sent = pb.SubmitBatchRequest(**{"ecg": ECG, **request}).SerializeToString()
    return BatchEnvelope.FromString(sent)


async def test_a_unit_is_one_look_up_and_one_durable_step(parts):
    taken = await parts.service.submit_unit([batch(item_id=str(n)) for n in range(5)], ICU)
    assert [one.job_id for one in taken] == ["j1", "j2", "j3", "j4", "j5"]
    assert (parts.retriever.looked_up, parts.jobs.units) == (1, [5])


async def test_of_a_unit_each_has_its_own_outcome(parts):
    parts.jobs.known["r-1"] = "j9"
    parts.retriever.known[SHA256] = ANSWER
    other = ecg_pb2.Ecg(file=ecg_pb2.ClinicalFile(content=b"another ECG"))
    unit = [
        batch(),
        batch(ecg=ecg_pb2.Ecg()),
        batch(ecg=other, question=pb.Question(top_k=0)),
        batch(ecg=other, request_id="r-1"),
        batch(ecg=other),
    ]
    known, empty, wrong, again, new = await parts.service.submit_unit(unit, ICU)
    assert (known.state, known.answer) == (JobState.SUCCEEDED, ANSWER.message)
    assert (type(empty), type(wrong)) == (InvalidEcg, InvalidQuestion)
    assert (again.job_id, new.state) == ("j9", JobState.QUEUED)


async def test_a_known_answer_of_a_unit_is_taken_in_where_no_job_could_end(parts):
    parts.retriever.known[SHA256] = ANSWER
    parts.health.outage = IndexMissing("there is no report index yet")
    other = ecg_pb2.Ecg(file=ecg_pb2.ClinicalFile(content=b"another ECG"))
    known, unknown = await parts.service.submit_unit([batch(), batch(ecg=other)], ICU)
    assert known.state is JobState.SUCCEEDED
    assert isinstance(unknown, IndexMissing)


async def test_a_store_that_is_down_refuses_each_of_a_unit_that_was_not_refused_before(parts):
    def down(submissions):
        raise Unavailable("the state store does not answer")

    parts.jobs.submit = down
    taken = await parts.service.submit_unit([batch(), batch(ecg=ecg_pb2.Ecg())], ICU)
    assert [type(one) for one in taken] == [Unavailable, InvalidEcg]


# Filing.

FEED = Principal("feed", frozenset({Scope.SUBMIT, Scope.INDEX}))
NORTH = Principal("north-feed", frozenset({Scope.SUBMIT, Scope.INDEX}), "north")


def file_as(case_id: str = "1", report: str = "old infarct", **fields: Any) -> case_pb2.FileAs:
    case = report_pb2.Case(case_id=case_id, age=57)
    return case_pb2.FileAs(case=case, report=report, **fields)


def filing(service, caller: Principal = FEED, **request) -> Submission:
    made: Submission = service.submission(batch(**request), caller, Priority.ROUTINE)
    return made


def test_an_ecg_is_submitted_with_what_it_is_filed_as(service):
    made = filing(service, file_as=file_as("1", " old  infarct ", index="reports_2"))
    assert made.filing is not None
    assert (made.filing.index, made.filing.only) == ("reports_2", False)
    case = made.filing.case
    assert (case.case_id, case.text, case.age, case.language) == ("1", "old infarct", 57, "en")
    assert made.sha256 == SHA256


def test_an_ecg_without_file_as_is_not_filed(service):
    assert filing(service).filing is None
    assert submission(service).filing is None


@pytest.mark.parametrize("scopes", [{Scope.SUBMIT}, {Scope.SEARCH, Scope.SUBMIT}, set()])
def test_filing_needs_the_scope_index(service, scopes):
    caller = Principal("icu", frozenset(scopes))
    with pytest.raises(PermissionDenied, match="'icu' lacks the scope index") as caught:
        filing(service, caller, file_as=file_as())
    assert caught.value.field == "file_as"
    assert filing(service, caller)
    assert filing(service, Principal("root", frozenset({Scope.ADMIN})), file_as=file_as()).filing


def test_a_caller_of_an_archive_files_in_it_alone(service):
    for case_id in ("1", "north/1"):
        made = filing(service, NORTH, file_as=file_as(case_id))
        assert made.filing is not None
        assert made.filing.case.case_id == "north/1"
    with pytest.raises(PermissionDenied) as caught:
        filing(service, NORTH, file_as=file_as("south/1"))
    assert caught.value.field == "file_as.case.case_id"


def test_a_caller_of_no_archive_files_in_any(service):
    made = filing(service, file_as=file_as("south/1"))
    assert made.filing is not None
    assert made.filing.case.case_id == "south/1"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (file_as("a b"), "file_as.case.case_id"),
        (file_as(""), "file_as.case.case_id"),
        (file_as(report=""), "file_as.report"),
        (
            case_pb2.FileAs(case=report_pb2.Case(case_id="1", age=-1), report="x"),
            "file_as.case.age",
        ),
        (case_pb2.FileAs(), "file_as.case.case_id"),
    ],
)
def test_a_case_that_cannot_be_is_refused_before_it_is_stored(service, wrong, field):
    with pytest.raises(InvalidReport) as caught:
        filing(service, file_as=wrong)
    assert caught.value.field == field


def test_a_case_is_filed_as_routine(service):
    with pytest.raises(InvalidQuestion) as caught:
        filing(service, file_as=file_as(), priority=job_pb2.PRIORITY_STAT)
    assert (caught.value.reason, caught.value.field) == ("PRIORITY", "priority")
    assert filing(service, priority=job_pb2.PRIORITY_STAT).priority is Priority.STAT


def test_bytes_that_are_no_filing_are_refused(service):
    envelope = batch()
    envelope.file_as = b"\xff"
    with pytest.raises(InvalidReport) as caught:
        service.submission(envelope, FEED, Priority.ROUTINE)
    assert (caught.value.reason, caught.value.field) == ("FILE_AS", "file_as")


def test_a_case_is_filed_without_an_ecg_only_where_no_answer_is_wanted(service):
    made = filing(service, file_as=file_as(only=True), ecg=None)
    assert made.payload == b""
    assert made.filing is not None
    with pytest.raises(InvalidEcg) as caught:
        filing(service, file_as=file_as(), ecg=None)
    assert caught.value.reason == "EMPTY_PAYLOAD"
    with pytest.raises(InvalidEcg):
        filing(service, ecg=None)


def test_an_ecg_that_is_only_filed_is_submitted_all_the_same(service):
    assert filing(service, file_as=file_as(only=True)).sha256 == SHA256


@pytest.mark.parametrize("only", [True, False])
async def test_a_known_answer_is_not_taken_where_the_ecg_is_filed(parts, only):
    parts.retriever.known[SHA256] = ANSWER
    unit = [batch(file_as=file_as(only=only)), batch()]
    filed, asked_alone = await parts.service.submit_unit(unit, FEED)
    assert (filed.state, asked_alone.state) == (JobState.QUEUED, JobState.SUCCEEDED)
    (first, answer), (_, known) = parts.jobs.submitted
    assert first.filing is not None
    assert (answer, known) == (None, ANSWER.message)


async def test_nothing_is_filed_where_no_job_could_end(parts):
    parts.health.outage = IndexMissing("there is no report index yet")
    (taken,) = await parts.service.submit_unit([batch(file_as=file_as())], FEED)
    assert isinstance(taken, IndexMissing)
    assert parts.jobs.submitted == []


async def test_of_a_unit_a_case_that_is_refused_stops_no_other(parts):
    unit = [batch(file_as=file_as("a b")), batch(file_as=file_as()), batch()]
    wrong, filed, plain = await parts.service.submit_unit(unit, FEED)
    assert isinstance(wrong, InvalidReport)
    assert (filed.job_id, plain.job_id) == ("j1", "j2")


# Questions.


def test_a_question_has_the_archive_of_its_caller(service):
    assert service.question(Question(), NORTH).archive == "north"
    assert service.question(Question(archive="south"), NORTH).archive == "north"
    assert service.question(Question(archive="south"), FEED).archive == ""


@pytest.mark.parametrize("nearness", Nearness)
def test_what_nearness_means_is_this_houses_where_it_is_not_said(nearness):
    service = service_of(Settings(nearness=nearness), None, None)
    assert service.question(Question(), FEED).by is nearness
    assert service.question(Question(by=Nearness.ECG), FEED).by is Nearness.ECG


def test_a_filter_that_cannot_be_used_is_refused_before_it_is_stored(service):
    with pytest.raises(InvalidQuestion) as caught:
        service.question(Question(filter=CaseFilter(min_age=-1)), FEED)
    assert caught.value.field == "question.filter.min_age"
