from dataclasses import replace

import pytest

from cardex.api.convert.jobs import (
    answer_message,
    decode_answer,
    encode_answer,
    error_message,
    error_of,
    from_cache,
    job_envelope,
    priority_of,
    question_message,
    question_of,
)
from cardex.api.pb.v1 import ecg_retrieval_pb2, job_pb2
from cardex.domain.errors import InvalidEcg, InvalidQuestion
from cardex.domain.index import Hit
from cardex.domain.jobs import (
    DEFAULT_TOP_K,
    DISCLAIMER,
    Answer,
    Job,
    JobError,
    JobState,
    Priority,
    Question,
    StageTime,
)
from cardex.domain.quality import SignalQuality, SignalWarning
from cardex.domain.reports import DRAFT_LABEL, Draft, DraftSentence, Finding, Prediction, Report

ANSWER = Answer(
    hits=(
        Hit(Report("r1", "sinus rhythm"), 0.75, 1),
        Hit(Report("r2", "old infarct"), 0.5, 2, -1.5),
    ),
    findings=(Finding("SR", "sinus rhythm", 0.6, ("r1",)),),
    model_version="m",
    index_name="i",
    index_generation="g",
    stages=(StageTime("queue", 0.0), StageTime("inference", 0.025)),
    quality=SignalQuality(0.5, 66.5, (SignalWarning("LEAD_FLAT", "no signal", ("V1", "V2")),)),
    predictions=(Prediction("AFIB", "atrial fibrillation", "164889003", 0.75),),
    draft=Draft((DraftSentence("sinus rhythm.", ("r1", "r2")),)),
)
JOB = Job(
    job_id="j1",
    owner="icu",
    state=JobState.SUCCEEDED,
    priority=Priority.STAT,
    payload="sha",
    question=Question(),
    attempts=2,
    submitted=1_700_000_000.25,
    updated=1_700_000_001.5,
    answer=encode_answer(ANSWER).message,
)


def test_an_answer_keeps_everything():
    message = job_pb2.Answer.FromString(answer_message(ANSWER).SerializeToString())
    assert [(hit.rank, hit.score, hit.report.report_id) for hit in message.hits] == [
        (1, 0.75, "r1"),
        (2, 0.5, "r2"),
    ]
    assert [(f.code, f.description, f.share, list(f.report_ids)) for f in message.findings] == [
        ("SR", "sinus rhythm", 0.6, ["r1"])
    ]
    assert [(w.code, w.message, list(w.leads)) for w in message.warnings] == [
        ("LEAD_FLAT", "no signal", ["V1", "V2"])
    ]
    assert (message.model_version, message.index_name, message.index_generation) == ("m", "i", "g")
    assert (message.signal_quality.index, message.signal_quality.heart_rate_bpm) == (0.5, 66.5)
    assert not message.from_cache


def test_an_answer_keeps_what_is_predicted_and_drafted():
    message = job_pb2.Answer.FromString(answer_message(ANSWER).SerializeToString())
    (found,) = message.predictions
    assert (found.code, found.description) == ("AFIB", "atrial fibrillation")
    assert (found.snomed_code, found.probability) == ("164889003", 0.75)
    assert message.draft.label == DRAFT_LABEL
    assert [(s.text, list(s.report_ids)) for s in message.draft.sentences] == [
        ("sinus rhythm.", ["r1", "r2"])
    ]


def test_a_match_of_0_is_told_from_none():
    assert [hit.HasField("match") for hit in answer_message(ANSWER).hits] == [False, True]
    matched = replace(ANSWER, hits=(replace(ANSWER.hits[0], match=0.0),))
    assert answer_message(matched).hits[0].HasField("match")


def test_an_answer_about_a_text_has_no_signal_and_no_draft():
    message = answer_message(replace(ANSWER, quality=None, draft=None))
    assert not message.HasField("signal_quality")
    assert not message.HasField("draft")


def test_an_unknown_heart_rate_is_not_zero():
    message = answer_message(replace(ANSWER, quality=SignalQuality(0.0)))
    assert not message.signal_quality.HasField("heart_rate_bpm")


def test_an_answer_always_carries_the_disclaimer():
    assert answer_message(ANSWER).disclaimer == DISCLAIMER


def test_stages_keep_their_order_and_time():
    stages = [(s.stage, s.duration.ToMicroseconds()) for s in answer_message(ANSWER).stages]
    assert stages == [("queue", 0), ("inference", 25_000)]


def job_message(job: Job, *, with_answer: bool = True) -> job_pb2.Job:
    """Return what a client reads."""
    sent = job_envelope(job, with_answer=with_answer).SerializeToString()
    return job_pb2.Job.FromString(sent)


@pytest.mark.parametrize("state", JobState)
def test_every_state_has_its_number(state):
    message = job_message(replace(JOB, state=state))
    assert job_pb2.JobState.Name(message.state) == f"JOB_STATE_{state}"


def test_a_job_keeps_its_times_and_attempts():
    message = job_pb2.Job.FromString(job_message(JOB).SerializeToString())
    assert (message.job_id, message.attempts) == ("j1", 2)
    assert message.submit_time.ToMilliseconds() == 1_700_000_000_250
    assert message.update_time.ToMilliseconds() == 1_700_000_001_500
    assert message.priority == job_pb2.PRIORITY_STAT


def test_a_job_shows_neither_owner_nor_payload():
    assert {field.name for field in job_pb2.Job.DESCRIPTOR.fields}.isdisjoint({"owner", "payload"})


def test_a_job_has_an_answer_or_an_error_or_neither():
    error = JobError("DURATION", "too short", "ecg.samples.leads", "InvalidEcg")
    assert job_message(JOB).HasField("answer")
    failed = job_message(replace(JOB, state=JobState.FAILED, answer=None, error=error))
    assert not failed.HasField("answer")
    assert failed.error == error_message(error.to_error())
    assert (failed.error.reason, failed.error.message) == ("DURATION", "too short")
    assert failed.error.field == "ecg.samples.leads"
    assert (failed.error.code, failed.error.http_status) == (3, 400)
    assert isinstance(error_of(failed.error), InvalidEcg)
    assert not job_message(replace(JOB, answer=None)).HasField("error")


def test_an_answer_can_be_left_out():
    assert not job_message(JOB, with_answer=False).HasField("answer")


@pytest.mark.parametrize("question", [Question(), Question(3), Question(7, 64), Question(0, -1)])
def test_a_question_comes_back_as_it_was_sent(question):
    sent = question_message(question).SerializeToString()
    assert question_of(ecg_retrieval_pb2.Question.FromString(sent)) == question


def test_a_question_that_says_nothing_asks_for_the_default():
    assert question_of(ecg_retrieval_pb2.Question()) == Question(DEFAULT_TOP_K)


@pytest.mark.parametrize("top_k", [0, 1, 100, 101, -1])
def test_a_number_that_is_said_is_kept_even_if_it_is_0(top_k):
    sent = ecg_retrieval_pb2.Question(top_k=top_k).SerializeToString()
    assert question_of(ecg_retrieval_pb2.Question.FromString(sent)) == Question(top_k)


@pytest.mark.parametrize(
    ("value", "priority"),
    [
        (job_pb2.PRIORITY_UNSPECIFIED, Priority.STAT),
        (job_pb2.PRIORITY_STAT, Priority.STAT),
        (job_pb2.PRIORITY_ROUTINE, Priority.ROUTINE),
    ],
)
def test_a_priority_that_is_not_given_is_the_default(value, priority):
    assert priority_of(value, Priority.STAT) is priority


@pytest.mark.parametrize("value", [3, -1])
def test_a_priority_that_does_not_exist_is_refused(value):
    with pytest.raises(InvalidQuestion) as caught:
        priority_of(value, Priority.STAT)
    assert (caught.value.reason, caught.value.field) == ("PRIORITY", "priority")


def test_an_encoded_answer_is_the_message_itself():
    encoded = encode_answer(ANSWER)
    assert decode_answer(encoded.message) == answer_message(ANSWER)
    assert encoded.stages == ANSWER.stages


def test_an_answer_from_the_cache_differs_only_in_saying_so():
    cached = from_cache(encode_answer(ANSWER).message)
    assert cached is not None
    message = decode_answer(cached.message)
    assert message.from_cache
    assert cached.stages == ()
    message.from_cache = False
    assert message == answer_message(ANSWER)


@pytest.mark.parametrize("damage", [b"{}", b"\xff", b"\x0a\xff"], ids=["JSON", "tag", "cut off"])
def test_what_is_no_answer_is_not_in_the_cache(damage):
    assert from_cache(damage) is None
