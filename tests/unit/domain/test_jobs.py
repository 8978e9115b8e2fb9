import msgspec
import pytest

from cardex.domain.errors import ERRORS, JobFailed
from cardex.domain.jobs import DISCLAIMER, Answer, JobError, JobState


@pytest.mark.parametrize(
    ("state", "final"),
    [
        (JobState.QUEUED, False),
        (JobState.RUNNING, False),
        (JobState.SUCCEEDED, True),
        (JobState.FAILED, True),
        (JobState.CANCELLED, True),
    ],
)
def test_a_job_ends_in_one_of_three_states(state, final):
    assert state.final is final


def test_every_answer_carries_the_disclaimer():
    assert Answer((), (), "m", "i", "g").disclaimer == DISCLAIMER == "RESEARCH USE ONLY"


@pytest.mark.parametrize("kind", ERRORS.values(), ids=ERRORS)
def test_a_stored_error_brings_back_its_class(kind):
    error = JobError.of(kind("what is wrong", reason="WHY", field="ecg"))
    stored = msgspec.json.decode(msgspec.json.encode(error), type=JobError)
    found = stored.to_error()
    assert type(found) is kind
    assert (found.reason, found.message, found.field) == ("WHY", "what is wrong", "ecg")


def test_an_error_of_a_class_that_is_not_known_is_a_failed_job():
    error = JobError("WHY", "what is wrong", "", "FromTheFuture").to_error()
    assert type(error) is JobFailed
    assert error.reason == "WHY"
