"""The parts of one process, made from its settings."""

from dataclasses import dataclass

from services.domain.settings import Settings
from services.inference.statements import load_calibration
from services.inference.tokenizer import ReportTokenizer
from services.inference.triton import TritonEncoder
from services.retrieval.catalogue import Catalogue
from services.retrieval.retriever import Retriever
from services.stores.cache import Cache
from services.stores.jobs import JobLimits, JobStore
from services.stores.redis import connect
from services.stores.reports import ReportStore


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that a gateway or a worker talks to."""

    jobs: JobStore
    encoder: TritonEncoder
    reports: ReportStore
    catalogue: Catalogue
    retriever: Retriever


def assemble(settings: Settings) -> Parts:
    """Make the parts; nothing is connected until it is used, so that a process starts while one is down.

    Raises:
        ConfigurationError: if the tokenizer or the statements cannot be loaded.
    """
    encoder = TritonEncoder(
        settings.triton_url,
        ReportTokenizer(settings.tokenizer),
        timeout_s=settings.triton_timeout_s,
    )
    reports = ReportStore(
        settings.milvus_uri, token=settings.milvus_token, index_type=settings.milvus_index
    )
    catalogue = Catalogue(encoder, reports, load_calibration(settings.statements))
    cache = Cache(connect(settings.cache_url), settings.cache_ttl_s)
    limits = JobLimits(
        max_backlog=settings.max_backlog,
        max_attempts=settings.max_attempts,
        lease_s=settings.lease_s,
        latch_s=settings.latch_s,
        payload_ttl_s=settings.payload_ttl_s,
        job_ttl_s=settings.job_ttl_s,
    )
    return Parts(
        jobs=JobStore(connect(settings.state_url), limits),
        encoder=encoder,
        reports=reports,
        catalogue=catalogue,
        retriever=Retriever(encoder, reports, cache, catalogue),
    )
