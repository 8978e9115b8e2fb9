"""What a gateway or a worker depends on, made from its settings."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from cardex.domain.settings import Settings
from cardex.inference.novelty import served_novelty
from cardex.inference.prevalence import corrected_calibration, own_shares
from cardex.inference.triton_client import TritonClient
from cardex.inference.triton_encoder import TritonEncoder
from cardex.retrieval.active_index import ActiveIndex
from cardex.retrieval.filing import CaseFiler
from cardex.retrieval.index_writer import IndexWriter
from cardex.retrieval.retriever import Retriever
from cardex.stores.answer_cache import AnswerCache
from cardex.stores.broker import celery_app, notifier
from cardex.stores.index_lock import IndexLock
from cardex.stores.job_limits import JobLimits
from cardex.stores.job_queue import JobQueue
from cardex.stores.redis import connect
from cardex.stores.report_index import ReportIndex

INDEX_LEASE_S = 15.0
"""How long a gateway that died in the midst of writing the index keeps others from it."""


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Everything that a gateway or a worker talks to.

    Attributes:
        jobs: the job records.
        encoder: Triton's models.
        reports: the report index.
        active_index: which index answers, with which model; `start` it in a process that serves.
        retriever: ECGs and texts to answers.
        index_writer: makes the writer of the index for one client.
    """

    jobs: JobQueue
    encoder: TritonEncoder
    reports: ReportIndex
    active_index: ActiveIndex
    retriever: Retriever
    index_writer: Callable[[], IndexWriter]


def assemble(settings: Settings) -> Dependencies:
    """Make the dependencies; each connects at its first use, so one that is down stops no start.

    Raises:
        ConfigurationError: if the file of `CARDEX_PREVALENCE` cannot be used.
    """
    repository = settings.model_repository
    shares = own_shares(settings.prevalence, repository)
    encoder = TritonEncoder(triton_server(settings), repository)
    reports = ReportIndex(
        settings.milvus_uri, token=settings.milvus_token, kind=settings.milvus_index
    )
    active_index = ActiveIndex(
        encoder,
        reports,
        partial(corrected_calibration, repository, shares),
        partial(served_novelty, repository),
    )
    cache = AnswerCache(connect(settings.cache_url), settings.cache_ttl_s)
    limits = JobLimits(
        max_backlog=settings.max_backlog,
        max_backlog_per_key=settings.max_backlog_per_key,
        watermark=settings.state_watermark,
        max_attempts=settings.max_attempts,
        lease_s=settings.lease_s,
        latch_s=settings.latch_s,
        payload_ttl_s=settings.payload_ttl_s,
        job_ttl_s=settings.job_ttl_s,
        replicas=settings.state_replicas,
    )
    state = connect(settings.state_url)

    def lock() -> IndexLock:
        return IndexLock(state, "index", INDEX_LEASE_S)

    return Dependencies(
        jobs=JobQueue(state, limits, notifier(celery_app(settings.state_url))),
        encoder=encoder,
        reports=reports,
        active_index=active_index,
        retriever=Retriever(
            encoder,
            reports,
            cache,
            active_index,
            filer=CaseFiler(encoder, reports, lock),
            whole_up_to=settings.memory_reports,
        ),
        index_writer=lambda: IndexWriter(encoder, reports, active_index, lock(), cache),
    )


def triton_server(settings: Settings) -> TritonClient:
    """Return a connection to the Triton of these settings."""
    return TritonClient(
        settings.triton_url,
        timeout_s=settings.triton_timeout_s,
        in_flight=settings.triton_in_flight,
    )
