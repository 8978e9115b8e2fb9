"""The thread that submits an archive's recordings, a stream for some hundreds."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cardex.api.archive.backlog import Backlog
from cardex.api.archive.found import Recording, content_hash
from cardex.api.archive.gateway import Gateway
from cardex.api.archive.manifest import Manifest, Stamp
from cardex.api.archive.patience import NEEDS_THE_OPERATOR, Patience, may_pass
from cardex.api.archive.results import Result, refused
from cardex.api.convert.jobs import error_of, question_message
from cardex.api.ecgs import sized_ecg_of_files
from cardex.api.pb.v1 import ecg_pb2
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.domain.errors import CardexError
from cardex.domain.jobs import Question

STREAM_S = 300.0
TRIES_ALONE = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a recording.

    Attributes:
        path: of the recording.
        stamp: its size and time when it was read.
        sha256: hash of its content, "" where it could not be read.
        result: the result; None where an earlier call wrote it and only the time has changed.
    """

    path: str
    stamp: Stamp
    sha256: str
    result: Result | None


Deliver = Callable[[Outcome], None]


class Submitter:
    """Reads recordings and submits them; what becomes a job is watched by others."""

    def __init__(
        self,
        gateway: Gateway,
        backlog: Backlog,
        manifest: Manifest,
        question: Question,
        max_bytes: int,
        patience: Patience,
        deliver: Deliver,
    ) -> None:
        """Submit what `backlog` gives, and deliver what is refused.

        Args:
            gateway: takes the streams.
            backlog: what is to be submitted.
            manifest: names the recordings' request_ids, and is told of jobs.
            question: what is asked of each.
            max_bytes: size of the largest message that the gateway takes.
            patience: waits after errors.
            deliver: takes outcomes; may block.
        """
        self._gateway = gateway
        self._backlog = backlog
        self._manifest = manifest
        self._question = question_message(question)
        self._max_bytes = max_bytes
        self._patience = patience
        self._deliver = deliver

    def run(self) -> None:
        """Submit until all is done or halted.

        Raises:
            CardexError: as `Patience.wait_after`.
        """
        while batch := self._backlog.next_batch():
            self._submit(batch)

    def _submit(self, batch: Sequence[Recording], tried: int = 0) -> None:
        stream = _Stream(batch)
        try:
            for response in self._gateway.submit(self._requests(stream), timeout_s=STREAM_S):
                self._patience.heard()
                self._acknowledge(stream, response)
        except CardexError as error:
            self._broken(stream.close(), error, tried + 1)
        else:
            self._backlog.submit_again(stream.close())
            if stream.refusal:
                self._patience.wait_after(stream.refusal)

    def _requests(self, stream: "_Stream") -> Iterator[pb.SubmitBatchRequest]:
        """Yield a request for each recording that can be read; gRPC runs this in its own thread."""
        for item_id, recording in stream.waiting():
            stamp = recording.stamp()
            try:
                ecg = sized_ecg_of_files(recording.files, self._max_bytes)
            except CardexError as error:
                if stream.take(item_id):
                    self._tell(recording, stamp, "", refused(recording.path, error))
                continue
            sha256 = content_hash(ecg)
            if self._is_finished(recording, sha256):
                if stream.take(item_id):
                    self._tell(recording, stamp, sha256, None)
                continue
            stream.read[item_id] = (stamp, sha256)
            yield self._request(item_id, recording, ecg, sha256)

    def _is_finished(self, recording: Recording, sha256: str) -> bool:
        """Tell whether a file that was touched is, by its content, one that has its result."""
        entry = self._manifest.get(recording.path)
        return bool(entry.outcome) and entry.sha256 == sha256

    def _request(
        self, item_id: str, recording: Recording, ecg: ecg_pb2.Ecg, sha256: str
    ) -> pb.SubmitBatchRequest:
        return pb.SubmitBatchRequest(
            item_id=item_id,
            ecg=ecg,
            question=self._question,
            request_id=self._manifest.request_id(recording.path, sha256),
            any_order=True,
        )

    def _acknowledge(self, stream: "_Stream", response: pb.SubmitBatchResponse) -> None:
        recording = stream.take(response.item_id)
        if recording is None:
            return
        stamp, sha256 = stream.read[response.item_id]
        if response.HasField("job"):
            job_id = response.job.job_id
            self._manifest.submitted(recording.path, stamp, sha256, job_id)
            self._backlog.opened(job_id, recording)
            return
        error = error_of(response.error)
        if isinstance(error, NEEDS_THE_OPERATOR):
            raise error
        if may_pass(error):
            stream.refusal = error
            self._backlog.submit_again([recording])
        else:
            self._tell(recording, stamp, sha256, refused(recording.path, error))

    def _broken(self, left: list[Recording], error: CardexError, tries: int) -> None:
        """Submit again what a broken stream left; what breaks it is found one by one."""
        if not left or may_pass(error) or isinstance(error, NEEDS_THE_OPERATOR):
            self._backlog.submit_again(left)
            self._patience.wait_after(error)
        elif len(left) > 1:
            for recording in left:
                self._submit([recording])
        elif tries < TRIES_ALONE:
            self._patience.wait_after(error)
            self._submit(left, tries)
        else:
            self._tell(left[0], left[0].stamp(), "", refused(left[0].path, error))

    def _tell(self, recording: Recording, stamp: Stamp, sha256: str, result: Result | None) -> None:
        with self._backlog.delivering():
            self._deliver(Outcome(recording.path, stamp, sha256, result))


class _Stream:
    """The recordings of one stream, each of which has one outcome although two threads tell it."""

    def __init__(self, batch: Sequence[Recording]) -> None:
        self._waiting = {str(number): recording for number, recording in enumerate(batch)}
        self._lock = threading.Lock()
        self.read: dict[str, tuple[Stamp, str]] = {}
        self.refusal: CardexError | None = None

    def waiting(self) -> list[tuple[str, Recording]]:
        """Return what has no outcome yet."""
        with self._lock:
            return list(self._waiting.items())

    def take(self, item_id: str) -> Recording | None:
        """Take a recording that has its outcome; None where it had one, or the stream is closed."""
        with self._lock:
            return self._waiting.pop(item_id, None)

    def close(self) -> list[Recording]:
        """End the stream; returns what had no outcome."""
        with self._lock:
            left = list(self._waiting.values())
            self._waiting.clear()
            return left
