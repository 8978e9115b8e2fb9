import pytest

from cardex.domain.errors import InvalidEcg
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


def test_a_cached_answer_differs_only_in_saying_so():
    answer = Answer((), (), "m", "i", "g")
    assert answer.cached().from_cache
    assert not answer.from_cache
    assert answer.cached().model_version == "m"


def test_a_job_keeps_reason_message_and_field_of_its_error():
    error = InvalidEcg("too short", reason="DURATION", field="ecg.samples.leads")
    assert JobError.of(error) == JobError("DURATION", "too short", "ecg.samples.leads")
