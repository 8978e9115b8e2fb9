"""One run over an archive: recordings are submitted and their jobs watched at the same time."""

import queue
import threading
from collections.abc import Callable, Iterator

from cardex.api.archive.backlog import Backlog
from cardex.api.archive.found import FoundArchive, Recording
from cardex.api.archive.gateway import Gateway
from cardex.api.archive.manifest import Manifest
from cardex.api.archive.patience import Patience
from cardex.api.archive.results import OnProgress, Progress, Result
from cardex.api.archive.submitter import Outcome, Submitter
from cardex.api.archive.watcher import Watcher
from cardex.domain.jobs import Question

WATCHERS = 4
UNREAD_RESULTS = 256
TICK_S = 0.5
JOIN_S = 10.0


class Run:
    """Yields the results of the recordings that have none, as they come.

    Memory is bounded: by the archive's paths, the open jobs and some hundreds of answers.
    """

    def __init__(
        self,
        gateway: Gateway,
        manifest: Manifest,
        found: FoundArchive,
        question: Question,
        *,
        max_bytes: int,
        patience_s: float,
    ) -> None:
        """Prepare a run; nothing is sent before `results` is iterated.

        Args:
            gateway: a client of its own, closed at the end.
            manifest: what earlier runs did.
            found: the archive.
            question: what is asked of each recording.
            max_bytes: size of the largest message that the gateway takes.
            patience_s: how long to try on without a word from the gateway, in seconds.
        """
        self.progress = Progress()
        self._gateway = gateway
        self._manifest = manifest
        self._halted = threading.Event()
        self._outcomes: queue.Queue[Outcome | BaseException | None] = queue.Queue(UNREAD_RESULTS)
        self._given: dict[str, Outcome] = {}
        self._backlog = self._prepared(found)
        patience = Patience(patience_s, self._halted)
        self._patience = patience
        backlog, deliver = self._backlog, self._put
        self._submitter = Submitter(
            gateway, backlog, manifest, question, max_bytes, patience, deliver
        )
        self._watcher = Watcher(gateway, backlog, manifest, patience, deliver)

    def _prepared(self, found: FoundArchive) -> Backlog:
        """Return what is left to do: jobs of earlier runs to watch, the rest to submit."""
        jobs = dict(self._manifest.open_jobs())
        unchanged: dict[str, Recording] = {}
        unsettled = []
        for recording in found.recordings:
            if recording.path in jobs and jobs[recording.path].stamp == recording.stamp():
                unchanged[recording.path] = recording
            elif not self._is_settled(recording):
                unsettled.append(recording)
        known = {recording.path for recording in unsettled}
        backlog = Backlog(unsettled)
        for path, entry in jobs.items():
            if path not in known:
                backlog.opened(entry.job_id, unchanged.get(path) or found.elsewhere(path))
        gone = len(jobs.keys() - known - unchanged.keys())
        self.progress.total = len(found.recordings) + gone
        return backlog

    def _is_settled(self, recording: Recording) -> bool:
        entry = self._manifest.get(recording.path)
        # What could not be read is looked at again.
        settled = bool(entry.outcome and entry.sha256) and entry.stamp == recording.stamp()
        if settled:
            self.progress.count(entry.outcome, earlier=True)
        return settled

    def results(self, on_progress: OnProgress) -> Iterator[Result]:
        """Yield results; call `done` when one is taken care of.

        Raises:
            CardexError: if the operator must mend something, or nothing was heard of the gateway
                for too long. A run with the same manifest goes on from there.
        """
        threads = [self._thread(self._submit_all)]
        threads += [self._thread(self._watcher.run) for _ in range(WATCHERS)]
        for thread in threads:
            thread.start()
        try:
            while (outcome := self._next(on_progress)) is not None:
                if outcome.result is None or self._is_written(outcome):
                    self._remember(outcome)
                    continue
                self._given[outcome.path] = outcome
                yield outcome.result
            self._tell(on_progress)
        finally:
            self._stop(threads)

    def done(self, result: Result, end: int = 0) -> None:
        """Note that a result is taken care of.

        Args:
            result: the result.
            end: size of the results file after it, where there is one.
        """
        outcome = self._given.pop(result.path)
        self._manifest.finish(result.path, outcome.stamp, outcome.sha256, result.outcome, end)
        from_cache = result.answer is not None and result.answer.from_cache
        self.progress.count(result.outcome, from_cache=from_cache)

    def _is_written(self, outcome: Outcome) -> bool:
        """Tell whether the same refusal of a file that could not be read is written already."""
        entry, result = self._manifest.get(outcome.path), outcome.result
        assert result is not None
        return not entry.sha256 and entry.outcome == result.outcome and result.error is not None

    def _remember(self, outcome: Outcome) -> None:
        entry = self._manifest.get(outcome.path)
        self._manifest.finish(outcome.path, outcome.stamp, outcome.sha256, entry.outcome, entry.end)
        self.progress.count(entry.outcome, earlier=True)

    def _next(self, on_progress: OnProgress) -> Outcome | None:
        self._tell(on_progress)
        while True:
            try:
                outcome = self._outcomes.get(timeout=TICK_S)
            except queue.Empty:
                self._tell(on_progress)
                continue
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

    def _tell(self, on_progress: OnProgress) -> None:
        progress = self.progress
        waiting = self._backlog.open_jobs + self._outcomes.qsize() + len(self._given)
        progress.submitted = min(progress.finished + waiting, progress.total)
        on_progress(progress)

    def _submit_all(self) -> None:
        self._submitter.run()
        self._backlog.halt()
        self._put(None)

    def _put(self, outcome: Outcome | BaseException | None) -> None:
        while not self._halted.is_set():
            try:
                self._outcomes.put(outcome, timeout=TICK_S)
            except queue.Full:
                self._patience.heard()  # the reader is slow, not the gateway
            else:
                return

    def _thread(self, work: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                work()
            except BaseException as error:
                self._put(error)

        return threading.Thread(target=guarded, daemon=True, name="cardex-archive")

    def _stop(self, threads: list[threading.Thread]) -> None:
        self._halted.set()
        self._backlog.halt()
        self._gateway.close()
        for thread in threads:
            thread.join(JOIN_S)
