from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest

from cardex.api.pb.v1 import ecg_pb2, job_pb2
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.domain.settings import Settings
from cardex.inference.repository import newest
from cardex.inference.statements import load_calibration
from tests.helpers.real import demo_data, dicom, real_signal, reports
from tests.helpers.stack import cpsc_ecgs, dicom_ecg, refusal, typed_ecg, variant

STAGES = ["queue", "read", "clean", "encode", "inference", "search", "cases"]


def test_a_real_dicom_finds_real_reports(ecgs):
    response = ecgs.Retrieve(
        pb.RetrieveRequest(ecg=variant(1), question=pb.Question(top_k=7)), timeout=30
    )
    answer = response.answer
    known = {report.report_id: report for report in reports()}
    assert [hit.rank for hit in answer.hits] == list(range(1, 8))
    scores = [hit.score for hit in answer.hits]
    assert scores == sorted(scores, reverse=True)
    assert all(-1.0 <= score <= 1.0 for score in scores)
    for hit in answer.hits:
        assert hit.report.text == known[hit.report.report_id].text
        assert hit.report.record_count == known[hit.report.report_id].record_count
        assert hit.report.statements
    assert answer.findings
    assert answer.disclaimer == "RESEARCH USE ONLY"
    assert answer.model_version.startswith("cardex-")
    assert answer.index_name.startswith("reports_")
    assert answer.index_generation
    assert [stage.stage for stage in answer.stages] == STAGES
    assert all(stage.duration.ToMicroseconds() > 0 for stage in answer.stages)
    assert not answer.from_cache
    assert response.job_id


def test_an_answer_carries_calibrated_probabilities_and_a_draft(ecgs):
    answer = ecgs.Retrieve(pb.RetrieveRequest(ecg=variant(10)), timeout=30).answer
    probabilities = [prediction.probability for prediction in answer.predictions]
    assert probabilities
    assert probabilities == sorted(probabilities, reverse=True)
    assert all(0.1 <= probability <= 1.0 for probability in probabilities)
    calibrated = load_calibration(newest(Settings().model_repository).statements)
    assert calibrated is not None
    codes = {statement.code for statement in calibrated.statements}
    assert {prediction.code for prediction in answer.predictions} <= codes
    hits = {hit.report.report_id for hit in answer.hits}
    assert answer.draft.label == "DRAFT FROM SIMILAR CASES, NOT A DIAGNOSIS"
    assert answer.draft.sentences
    assert all(set(sentence.report_ids) <= hits for sentence in answer.draft.sentences)


def test_the_embedding_of_the_cache_gives_the_same_probabilities(ecgs):
    first = ecgs.Retrieve(pb.RetrieveRequest(ecg=variant(11)), timeout=30).answer
    question = pb.Question(top_k=4)
    again = ecgs.Retrieve(pb.RetrieveRequest(ecg=variant(11), question=question), timeout=30).answer
    assert "inference" not in {stage.stage for stage in again.stages}
    assert again.predictions == first.predictions


def test_the_matcher_orders_the_nearest(ecgs):
    question = pb.Question(top_k=5, rerank=20)
    answer = ecgs.Retrieve(
        pb.RetrieveRequest(ecg=variant(12), question=question), timeout=30
    ).answer
    assert len(answer.hits) == 5
    assert "rerank" in [stage.stage for stage in answer.stages]
    calibrated = load_calibration(newest(Settings().model_repository).statements)
    assert calibrated is not None
    ranks = [hit.score + calibrated.match_weight * hit.match for hit in answer.hits]
    assert all(hit.HasField("match") for hit in answer.hits)
    assert ranks == pytest.approx(sorted(ranks, reverse=True), abs=1e-3)


@pytest.mark.parametrize("rerank", [-1, 1, 129])
def test_a_bad_rerank_is_refused(ecgs, rerank):
    question = pb.Question(rerank=rerank)
    for call, request in (
        (ecgs.Retrieve, pb.RetrieveRequest(ecg=dicom_ecg(), question=question)),
        (ecgs.SubmitEcg, pb.SubmitEcgRequest(ecg=dicom_ecg(), question=question)),
    ):
        found = refusal(call, request, timeout=30)
        assert (found.code, found.reason, found.field) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "RERANK",
            "question.rerank",
        )


def test_samples_and_the_file_they_came_from_get_the_same_answer(ecgs):
    from_file = ecgs.Retrieve(pb.RetrieveRequest(ecg=dicom_ecg()), timeout=30).answer
    typed = ecgs.Retrieve(pb.RetrieveRequest(ecg=typed_ecg(real_signal())), timeout=30).answer
    assert [h.report.report_id for h in typed.hits] == [h.report.report_id for h in from_file.hits]


def test_the_unit_of_samples_does_not_change_the_answer(ecgs):
    signal = real_signal()[:, :8000]
    millivolts = ecgs.Retrieve(pb.RetrieveRequest(ecg=typed_ecg(signal)), timeout=30).answer
    microvolts = ecgs.Retrieve(
        pb.RetrieveRequest(ecg=typed_ecg(signal * 1000, unit=ecg_pb2.VOLTAGE_UNIT_MICROVOLT)),
        timeout=30,
    ).answer
    assert [h.report.report_id for h in millivolts.hits] == [
        h.report.report_id for h in microvolts.hits
    ]


def test_the_same_question_again_comes_from_the_cache(ecgs):
    request = pb.RetrieveRequest(ecg=variant(2))
    first = ecgs.Retrieve(request, timeout=30)
    again = ecgs.Retrieve(request, timeout=30)
    assert again.answer.from_cache
    assert not again.job_id
    assert again.answer.hits == first.answer.hits
    other = ecgs.Retrieve(
        pb.RetrieveRequest(ecg=variant(2), question=pb.Question(top_k=3)), timeout=30
    )
    assert not other.answer.from_cache
    assert len(other.answer.hits) == 3


def test_a_file_name_does_not_make_another_ecg(ecgs):
    ecg = dicom_ecg()
    ecgs.Retrieve(pb.RetrieveRequest(ecg=ecg), timeout=30)
    ecg.file.name = "Doe_Jane_1950.dcm"
    assert ecgs.Retrieve(pb.RetrieveRequest(ecg=ecg), timeout=30).answer.from_cache


def test_a_submitted_job_is_watched_to_its_answer(ecgs):
    question = pb.Question(top_k=9)  # one that no other test asks, so that no answer is known
    jobs = [
        ecgs.SubmitEcg(pb.SubmitEcgRequest(ecg=ecg, question=question), timeout=30).job
        for ecg in cpsc_ecgs()[:4]
    ]
    ids = [job.job_id for job in jobs]
    seen: dict[str, list[int]] = {job_id: [] for job_id in ids}
    for change in ecgs.WatchJobs(pb.WatchJobsRequest(job_ids=ids, with_answers=True), timeout=60):
        seen[change.job.job_id].append(change.job.state)
        if change.job.state == job_pb2.JOB_STATE_SUCCEEDED:
            assert change.job.answer.hits
    assert all(states[-1] == job_pb2.JOB_STATE_SUCCEEDED for states in seen.values())
    stored = ecgs.GetJob(pb.GetJobRequest(job_id=ids[0]), timeout=10).job
    assert stored.answer.hits
    assert stored.attempts == 1


def test_a_watch_goes_on_where_the_last_one_stopped(ecgs):
    first = ecgs.SubmitEcg(pb.SubmitEcgRequest(ecg=variant(3)), timeout=30).job
    changes = list(ecgs.WatchJobs(pb.WatchJobsRequest(job_ids=[first.job_id]), timeout=30))
    second = ecgs.SubmitEcg(pb.SubmitEcgRequest(ecg=variant(4)), timeout=30).job
    list(ecgs.WatchJobs(pb.WatchJobsRequest(job_ids=[second.job_id]), timeout=30))
    stream = ecgs.WatchJobs(pb.WatchJobsRequest(cursor=changes[-1].cursor), timeout=30)
    for change in stream:
        if change.job.job_id == second.job_id:
            stream.cancel()
            return
    pytest.fail("the change after the cursor was not replayed")


def test_a_request_id_makes_a_submission_idempotent(ecgs):
    request = pb.SubmitEcgRequest(ecg=variant(5), request_id="order-17")
    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda _: ecgs.SubmitEcg(request, timeout=30).job, range(8)))
    assert len({job.job_id for job in jobs}) == 1
    other = refusal(
        ecgs.SubmitEcg, pb.SubmitEcgRequest(ecg=variant(6), request_id="order-17"), timeout=30
    )
    assert (other.code, other.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert other.field == "request_id"
    waited = ecgs.Retrieve(pb.RetrieveRequest(ecg=variant(5), request_id="order-17"), timeout=30)
    assert waited.answer.hits


def test_a_batch_takes_the_good_and_refuses_the_bad_item_by_item(ecgs):
    items = [
        pb.SubmitBatchRequest(item_id=str(number), ecg=ecg)
        for number, ecg in enumerate(cpsc_ecgs())
    ]
    items.insert(3, pb.SubmitBatchRequest(item_id="empty"))
    items.insert(
        5,
        pb.SubmitBatchRequest(item_id="k", ecg=variant(7), question=pb.Question(top_k=0)),
    )
    responses = {r.item_id: r for r in ecgs.SubmitBatch(iter(items), timeout=60)}
    assert responses["empty"].error.reason == "EMPTY_PAYLOAD"
    assert responses["k"].error.reason == "TOP_K"
    ids = [r.job.job_id for r in responses.values() if r.HasField("job")]
    assert len(ids) == 10
    final = [
        change.job.state
        for change in ecgs.WatchJobs(pb.WatchJobsRequest(job_ids=ids), timeout=60)
        if change.job.state > job_pb2.JOB_STATE_RUNNING
    ]
    assert final == [job_pb2.JOB_STATE_SUCCEEDED] * 10


def test_a_final_job_is_not_cancelled(ecgs):
    job = ecgs.SubmitEcg(pb.SubmitEcgRequest(ecg=variant(8)), timeout=30).job
    list(ecgs.WatchJobs(pb.WatchJobsRequest(job_ids=[job.job_id]), timeout=30))
    after = ecgs.CancelJob(pb.CancelJobRequest(job_id=job.job_id), timeout=10).job
    assert after.state == job_pb2.JOB_STATE_SUCCEEDED


def _nan() -> np.ndarray:
    signal = real_signal().copy()
    signal[4, 100] = np.nan
    return signal


def _file(content: bytes) -> ecg_pb2.Ecg:
    return ecg_pb2.Ecg(file=ecg_pb2.ClinicalFile(content=content))


BAD_ECGS = {
    "nothing": (ecg_pb2.Ecg, "EMPTY_PAYLOAD", "ecg"),
    "empty file": (lambda: _file(b""), "EMPTY_PAYLOAD", "ecg.file.content"),
    "a text": (lambda: _file(b"To whom it may concern"), "NOT_AN_ECG", "ecg.file.content"),
    "half a DICOM": (
        lambda: _file(dicom().read_bytes()[:40_000]), "TRUNCATED_ECG", "ecg.file.content",
    ),
    "a header that names another file": (
        lambda: _file(Path(demo_data().cpsc[0]).read_bytes()), "MISSING_FILE",
        "ecg.file.companions",
    ),
    "ten leads": (lambda: typed_ecg(real_signal()[:10]), "LEAD_SET", "ecg.samples.leads"),
    "NaN": (lambda: typed_ecg(_nan()), "NOT_FINITE", "ecg.samples.leads"),
    "all flat": (lambda: typed_ecg(real_signal() * 0), "ALL_LEADS_FLAT", "ecg.samples.leads"),
    "no rate": (lambda: typed_ecg(real_signal(), rate=0), "SAMPLING_RATE", "ecg.samples.rate_hz"),
    "no unit": (
        lambda: typed_ecg(real_signal(), unit=ecg_pb2.VOLTAGE_UNIT_UNSPECIFIED), "UNIT",
        "ecg.samples.unit",
    ),
    "one second": (lambda: typed_ecg(real_signal()[:, :1000]), "DURATION", "ecg.samples.leads"),
    "eleven minutes": (
        lambda: typed_ecg(np.tile(real_signal(), 7), rate=100), "DURATION", "ecg.samples.leads",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_ECGS)
def test_a_bad_ecg_is_refused_with_reason_and_field(ecgs, name):
    make, reason, field = BAD_ECGS[name]
    found = refusal(ecgs.Retrieve, pb.RetrieveRequest(ecg=make()), timeout=30)
    assert (found.code, found.reason, found.field) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        reason,
        field,
    )
    assert found.message


def test_an_ecg_over_the_limit_is_refused(ecgs):
    found = refusal(
        ecgs.Retrieve, pb.RetrieveRequest(ecg=_file(b"x" * (16 * 1024 * 1024 + 1))), timeout=30
    )
    assert (found.code, found.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "PAYLOAD_TOO_LARGE",
    )


@pytest.mark.parametrize("top_k", [0, -1, 101, 10_000])
def test_a_bad_top_k_is_refused(ecgs, top_k):
    question = pb.Question(top_k=top_k)
    for call, request, field in (
        (ecgs.Retrieve, pb.RetrieveRequest(ecg=dicom_ecg(), question=question), "question.top_k"),
        (ecgs.SubmitEcg, pb.SubmitEcgRequest(ecg=dicom_ecg(), question=question), "question.top_k"),
        (ecgs.SearchReports, pb.SearchReportsRequest(text="normal", top_k=top_k), "top_k"),
    ):
        found = refusal(call, request, timeout=30)
        assert (found.reason, found.field) == ("TOP_K", field)


@pytest.mark.parametrize("job_id", ["", "0" * 24, "../../etc/passwd", "x" * 5000])
def test_an_unknown_job_is_not_found(ecgs, job_id):
    for call, request in (
        (ecgs.GetJob, pb.GetJobRequest(job_id=job_id)),
        (ecgs.CancelJob, pb.CancelJobRequest(job_id=job_id)),
        (ecgs.WatchJobs, pb.WatchJobsRequest(job_ids=[job_id])),
    ):
        found = refusal(call, request, timeout=30)
        assert (found.code, found.reason) == (grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND")


@pytest.mark.parametrize("cursor", ["yesterday", "1-", "-1", "$", "1-2-3", "9" * 40 + "-0"])
def test_a_bad_cursor_is_refused(ecgs, cursor):
    found = refusal(ecgs.WatchJobs, pb.WatchJobsRequest(cursor=cursor), timeout=30)
    assert (found.code, found.reason, found.field) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "CURSOR",
        "cursor",
    )


def test_a_cursor_whose_events_are_gone_is_refused(ecgs):
    found = refusal(ecgs.WatchJobs, pb.WatchJobsRequest(cursor="1-0"), timeout=30)
    assert (found.reason, found.field) == ("CURSOR_EXPIRED", "cursor")


def test_a_too_long_request_id_is_refused(ecgs):
    found = refusal(
        ecgs.SubmitEcg, pb.SubmitEcgRequest(ecg=dicom_ecg(), request_id="x" * 129), timeout=30
    )
    assert (found.reason, found.field) == ("REQUEST_ID", "request_id")


def test_the_server_says_what_it_runs(ecgs):
    info = ecgs.GetServerInfo(pb.GetServerInfoRequest(), timeout=10)
    assert info.model_version == info.index_model_version
    assert info.image_spec == newest(Settings().model_repository).spec().id
    assert {queue.priority for queue in info.queues} == {
        job_pb2.PRIORITY_STAT,
        job_pb2.PRIORITY_ROUTINE,
    }
    assert info.limits.max_top_k == 100


def test_a_caller_that_goes_away_leaves_no_job_behind(ecgs):
    found = refusal(ecgs.Retrieve, pb.RetrieveRequest(ecg=variant(9)), timeout=0.001)
    assert found.code == grpc.StatusCode.DEADLINE_EXCEEDED
