from cardex.api.archive.results import Progress, result_of_job
from cardex.api.pb.v1 import job_pb2
from cardex.domain.errors import InvalidEcg, JobCancelled


def test_a_job_becomes_a_result_with_the_class_of_its_error():
    error = job_pb2.JobError(reason="DURATION", message="too short", kind="InvalidEcg")
    failed = result_of_job("1/a", job_pb2.Job(job_id="j", state="JOB_STATE_FAILED", error=error))
    assert isinstance(failed.error, InvalidEcg)
    cancelled = result_of_job("1/a", job_pb2.Job(job_id="j", state="JOB_STATE_CANCELLED"))
    assert isinstance(cancelled.error, JobCancelled)
    answered = result_of_job(
        "1/a", job_pb2.Job(job_id="j", answer=job_pb2.Answer(model_version="m"))
    )
    assert answered.answer is not None
    assert (answered.answer.model_version, answered.error, answered.job_id) == ("m", None, "j")
    assert (answered.name, answered.path) == ("a", "1/a")


def test_progress_counts_by_reason():
    progress = Progress(total=5)
    for outcome in ("ANSWERED", "DURATION", "DURATION", "LEAD_SET"):
        progress.count(outcome)
    progress.count("ANSWERED", earlier=True)
    assert (progress.finished, progress.answered, progress.earlier) == (5, 2, 1)
    assert progress.refused == {"DURATION": 2, "LEAD_SET": 1}
