"""The threads that watch an archive's jobs and deliver their results."""

from collections.abc import Iterable

from cardex.api.archive.backlog import Backlog
from cardex.api.archive.gateway import Gateway
from cardex.api.archive.manifest import Manifest
from cardex.api.archive.patience import Patience
from cardex.api.archive.results import result_of_job
from cardex.api.archive.submitter import Deliver, Outcome
from cardex.api.pb.v1 import job_pb2
from cardex.domain.errors import CardexError, JobNotFound

CHUNK = 500
WATCH_S = 60.0


class Watcher:
    """Watches some hundreds of jobs at a time. Several may share a backlog."""

    def __init__(
        self,
        gateway: Gateway,
        backlog: Backlog,
        manifest: Manifest,
        patience: Patience,
        deliver: Deliver,
    ) -> None:
        """Watch the jobs of `backlog` and deliver their results; `manifest` knows their files."""
        self._gateway = gateway
        self._backlog = backlog
        self._manifest = manifest
        self._patience = patience
        self._deliver = deliver

    def run(self) -> None:
        """Watch until all is done or halted.

        Raises:
            CardexError: as `Patience.wait_after`.
        """
        while job_ids := self._backlog.next_watch(CHUNK):
            self._watch(job_ids)

    def _watch(self, job_ids: list[str]) -> None:
        left = dict.fromkeys(job_ids)
        try:
            for change in self._gateway.watch(job_ids, timeout_s=WATCH_S):
                self._patience.heard()
                if change.job.state >= job_pb2.JOB_STATE_SUCCEEDED:
                    left.pop(change.job.job_id, None)
                    self._finish(change.job)
        except JobNotFound:
            self._look(left)
        except CardexError as error:
            self._patience.wait_after(error)
            self._backlog.watch_again(left)
        else:
            self._backlog.watch_again(left)

    def _look(self, job_ids: Iterable[str]) -> None:
        """Ask for jobs one by one, since one that has expired ends the watch of all."""
        for job_id in job_ids:
            try:
                job = self._gateway.job(job_id)
            except JobNotFound:
                self._backlog.expired(job_id)
                continue
            except CardexError as error:
                self._patience.wait_after(error)
                self._backlog.watch_again([job_id])
                continue
            self._patience.heard()
            if job.state >= job_pb2.JOB_STATE_SUCCEEDED:
                self._finish(job)
            else:
                self._backlog.watch_again([job_id])

    def _finish(self, job: job_pb2.Job) -> None:
        recording = self._backlog.recording(job.job_id)
        if recording is None:
            return
        entry = self._manifest.get(recording.path)
        result = result_of_job(recording.path, job)
        self._deliver(Outcome(recording.path, entry.stamp, entry.sha256, result))
        self._backlog.closed(job.job_id)
