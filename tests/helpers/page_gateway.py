"""A gateway made up for the page: it answers by a fixed archive of ECGs that are made by code."""

import io
import threading
from collections.abc import Iterator

import numpy as np

from cardex.api.convert.traces import trace_message
from cardex.api.pb.v1 import case_pb2, ecg_retrieval_pb2_grpc, job_pb2, report_pb2
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.api.status import status_of
from cardex.domain.ecg import LEADS, FilePart, Waveform
from cardex.domain.errors import (
    CardexError,
    JobNotFound,
    Overloaded,
    Unauthenticated,
    Unavailable,
)
from cardex.signals.image_spec import ImageSpec
from cardex.signals.readers import read
from cardex.signals.trace import trace_of
from tests.helpers.ecgs import ecg

HOSTILE = (
    "<img src=x onerror=alert(1)><script>alert(2)</script> sinus rhythm"
    " \u202egnp.exe\u202c \x1b[31m\x07 \u05d0\u05d1\u05d2 line\nnext {{7*7}} &amp;"
)
PULSE_MV, PULSE_S = 1.0, 0.2


def pulses(rate: float = 250.0, seconds: float = 10.0, beat_s: float = 1.0) -> np.ndarray:
    """Twelve leads whose every beat is a pulse of 200 ms, of 1 mV in II: (12, samples), mV."""
    sample = np.arange(round(rate * seconds)) % round(beat_s * rate)
    begin = round(0.4 * rate)
    one = ((sample >= begin) & (sample < begin + round(PULSE_S * rate))) * PULSE_MV
    # Pulses of one size in all leads would be those of a cart's calibration.
    i, ii = 0.4 * one, one
    chest = [scale * one for scale in (-0.5, -0.2, 0.3, 0.7, 0.6, 0.2)]
    return np.array([i, ii, ii - i, -(i + ii) / 2, i - ii / 2, ii - i / 2, *chest])


def table(signal: np.ndarray, rate: float) -> bytes:
    """Write (12, samples) mV as a CSV file."""
    text = io.StringIO()
    text.write(f"# rate_hz: {rate:g}\n# unit: mV\n{','.join(LEADS)}\n")
    np.savetxt(text, signal.T, fmt="%.5f", delimiter=",")
    return text.getvalue().encode()


def trace_of_signal(signal: np.ndarray, rate: float) -> case_pb2.Trace:
    """Return the trace of (12, samples) mV."""
    return trace_message(trace_of(Waveform(signal.astype(np.float32), rate)))


def statement(code: str, description: str, support: float = 1.0) -> report_pb2.Statement:
    return report_pb2.Statement(code=code, description=description, support=support)


def case(number: int, *, has_ecg: bool = True) -> report_pb2.Case:
    made = report_pb2.Case(
        case_id=f"demo/{number}",
        report_id=f"r{number}",
        age=40 + number,
        sex="SEX_FEMALE" if number % 2 else "SEX_MALE",
        month=f"2026-{1 + number % 12:02d}",
        language="en",
        device="Cart 3000",
        statements=[statement("SR", "sinus rhythm")],
        has_ecg=has_ecg,
    )
    if has_ecg:
        made.similarity = 0.9 - 0.01 * number
    return made


TEXTS = (
    ("sinus rhythm. atrial fibrillation cannot be excluded. normal ecg", "en"),
    ("Sinusrhythmus. Linkstyp. T-Welle abgeflacht in V5 und V6.", "de"),
    (HOSTILE, "en"),
)


def hits(question: pb.Question) -> list[report_pb2.Hit]:
    """Return hits; the filter's ages are kept to."""
    made: list[report_pb2.Hit] = []
    for number, (text, language) in enumerate(TEXTS, 1):
        cases = [case(number), case(number + 10, has_ecg=number != 2)]
        least = question.filter.min_age if question.filter.HasField("min_age") else 0
        cases = [one for one in cases if one.age >= least]
        if not cases:
            continue
        hit = report_pb2.Hit(
            rank=len(made) + 1,
            score=0.9 - 0.1 * number,
            report=report_pb2.Report(
                report_id=f"r{number}",
                text=text,
                language=language,
                record_count=number,
                statements=[statement("SR", "sinus rhythm"), statement("NORM", "normal ECG", 0.5)],
            ),
            cases=cases,
            report_similarity=0.8 - 0.1 * number,
        )
        if number != 2:
            hit.ecg_similarity = cases[0].similarity
        made.append(hit)
    return made


def answer(question: pb.Question) -> job_pb2.Answer:
    """Return an answer with all that an answer may hold."""
    found = hits(question)
    return job_pb2.Answer(
        disclaimer="RESEARCH USE ONLY",
        hits=found,
        findings=[
            report_pb2.Finding(code="SR", description="sinus rhythm", share=0.8, report_ids=["r1"])
        ],
        predictions=[
            report_pb2.Prediction(code="SR", description="sinus rhythm", probability=0.91),
            report_pb2.Prediction(code="AFIB", description="atrial fibrillation", probability=0.2),
        ],
        draft=report_pb2.Draft(
            label="DRAFT FROM SIMILAR CASES, NOT A DIAGNOSIS",
            sentences=[
                report_pb2.DraftSentence(text="sinus rhythm", report_ids=["r1", "r3"]),
                report_pb2.DraftSentence(text=HOSTILE, report_ids=["r2"]),
            ],
        ),
        warnings=[
            job_pb2.SignalWarning(code="LEAD_NOISY", leads=["V3"], message="V3 is noisy"),
            job_pb2.SignalWarning(code="LOW_RATE", message=HOSTILE),
        ],
        signal_quality=job_pb2.SignalQuality(index=0.83, heart_rate_bpm=66.0),
        model_version="made-up",
        index_name="reports",
        index_generation="7",
        by=question.by or "NEARNESS_BOTH",
        filter=question.filter if question.HasField("filter") else None,
    )


class PageGateway(ecg_retrieval_pb2_grpc.EcgRetrievalServiceServicer):
    """Answers what the page asks.

    Attributes:
        keys: that it knows; empty where it needs none.
        questions: that it was asked, in turn.
        refusals: submissions that it still refuses as being too many.
        breaks: streams that it still breaks in the midst.
        submitted: submissions that it took in.
        cursors: of the streams that it was asked for.
        forgotten: jobs that it took in and knows no more.
        going_on: while it is not set, no ECG is answered.
    """

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.questions: list[pb.Question] = []
        self.refusals = 0
        self.breaks = 0
        self.submitted = 0
        self.cursors: list[str] = []
        self.forgotten: set[str] = set()
        self.going_on = threading.Event()
        self.going_on.set()
        self._jobs: dict[str, job_pb2.Job] = {}
        self._lock = threading.Lock()

    def _let_in(self, context) -> None:
        metadata = {item.key: item.value for item in context.invocation_metadata()}
        key = metadata.get("authorization", "").removeprefix("Bearer ")
        if self.keys and key not in self.keys:
            context.abort_with_status(status_of(Unauthenticated("no such key")))

    def GetServerInfo(self, request, context):
        self._let_in(context)
        return pb.GetServerInfoResponse(
            by="NEARNESS_BOTH", image_spec_json=ImageSpec().to_json(), version="0"
        )

    def _job(self, request, context) -> job_pb2.Job:
        file = request.ecg.file
        others = [FilePart(one.name, one.content) for one in file.companions]
        try:
            waveform = read((FilePart(file.name, file.content), *others))
        except CardexError as error:
            context.abort_with_status(status_of(error))
        self.going_on.wait(20)
        made = answer(request.question)
        if request.question.trace:
            made.trace.CopyFrom(trace_message(trace_of(waveform)))
        with self._lock:
            self.questions.append(request.question)
            number = f"job-{len(self._jobs) + 1}"
            job = job_pb2.Job(job_id=number, state="JOB_STATE_SUCCEEDED", answer=made)
            self._jobs[number] = job
        return job

    def Retrieve(self, request, context):
        self._let_in(context)
        job = self._job(request, context)
        return pb.RetrieveResponse(answer=job.answer, job_id=job.job_id)

    def SubmitEcg(self, request, context):
        self._let_in(context)
        with self._lock:
            self.refusals -= 1
            refused = self.refusals >= 0
        if refused:
            context.abort_with_status(
                status_of(Overloaded("too many jobs wait", reason="BACKLOG", retry_after_s=1.0))
            )
        job = self._job(request, context)
        self.submitted += 1
        return pb.SubmitEcgResponse(job=job_pb2.Job(job_id=job.job_id, state="JOB_STATE_QUEUED"))

    def GetJob(self, request, context):
        self._let_in(context)
        return pb.GetJobResponse(job=self._known(request.job_id, context))

    def _known(self, name: str, context) -> job_pb2.Job:
        if name not in self._jobs or name in self.forgotten:
            context.abort_with_status(status_of(JobNotFound("no such job", field="job_id")))
        return self._jobs[name]

    def WatchJobs(self, request, context) -> Iterator[pb.WatchJobsResponse]:
        self._let_in(context)
        self.cursors.append(request.cursor)
        jobs = [self._known(name, context) for name in request.job_ids]
        with self._lock:
            self.breaks -= 1
            broken = self.breaks >= 0
        if broken:
            yield pb.WatchJobsResponse(jobs=jobs[:1], cursor="5-0")
            context.abort_with_status(status_of(Unavailable("cut off", retry_after_s=0.1)))
        yield pb.WatchJobsResponse(jobs=jobs, cursor="6-0")

    def GetCase(self, request, context):
        self._let_in(context)
        number = int(request.case_id.rpartition("/")[2])
        found = case(number, has_ecg=number != 12)
        if number > 50:
            context.abort_with_status(status_of(JobNotFound("no such case", field="case_id")))
        response = case_pb2.GetCaseResponse(
            case=found,
            report=report_pb2.Report(report_id=found.report_id, text=TEXTS[number % 10 - 1][0]),
            disclaimer="RESEARCH USE ONLY",
        )
        if found.has_ecg:
            response.trace.CopyFrom(trace_of_signal(ecg(bpm=60.0 + number), 500.0))
        return response

    def SearchReports(self, request, context):
        self._let_in(context)
        question = pb.Question(by=request.by, filter=request.filter)
        made = job_pb2.Answer(hits=hits(question), disclaimer="RESEARCH USE ONLY")
        return pb.SearchReportsResponse(answer=made)
