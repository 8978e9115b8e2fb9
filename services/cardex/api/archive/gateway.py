"""What an archive needs of a gateway's client."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.api.pb.v1 import job_pb2


class Gateway(Protocol):
    """Blocking calls, each of which raises `CardexError`; closing it ends those that run."""

    def submit(
        self, requests: Iterable[pb.SubmitBatchRequest], *, timeout_s: float | None = None
    ) -> Iterator[pb.SubmitBatchResponse]:
        """Submit a stream; yields what became of each item, in any order."""

    def watch(
        self, job_ids: Sequence[str] = (), *, timeout_s: float | None = None
    ) -> Iterator[pb.WatchJobsResponse]:
        """Yield jobs as they are, then every change, until all are final, with their answers."""

    def job(self, job_id: str) -> job_pb2.Job:
        """Return a job as it is now."""

    def close(self) -> None:
        """Close the connection."""
