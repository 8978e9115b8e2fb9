"""Which model answers from which index: looked up in the background, read without waiting."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from cardex.domain.errors import CardexError, Unavailable, VersionMismatch
from cardex.domain.index import IndexInfo
from cardex.inference.encoder import Encoder, ModelInfo, served_model
from cardex.inference.novelty import Novelty
from cardex.inference.statements import Calibration, Predictor

logger = logging.getLogger(__name__)

PERIOD_S = 1.0
"""How often the index in force and the served models are looked up."""
STALE_S = 5.0
"""A look-up that takes longer than this means that Milvus or Triton hangs."""


@dataclass(frozen=True, slots=True)
class ServingSnapshot:
    """One model, the index that was built with it, and what was calibrated for it.

    Attributes:
        model: the served model.
        index: the index that is searched.
        calibration: of the model's statements, None where it came without.
        predictor: computes probabilities by that calibration.
        novelty: tells which ECGs the model has seen nothing like, None where it came without.
    """

    model: ModelInfo
    index: IndexInfo
    calibration: Calibration | None = None
    predictor: Predictor | None = None
    novelty: Novelty | None = None

    @property
    def version(self) -> str:
        """Version of everything but the index that an answer depends on."""
        calibrated = self.calibration.fingerprint if self.calibration else ""
        known = self.novelty.fingerprint if self.novelty else ""
        return f"{self.model.version}|{self.model.matcher}|{calibrated}|{known}"


_Companions = tuple[Calibration | None, Predictor | None, Novelty | None]


class Indexes(Protocol):
    """Where the index in force is looked up."""

    def current(self) -> IndexInfo:
        """Return it; raises IndexMissing or Unavailable."""


@dataclass(frozen=True, slots=True)
class _State:
    """What the last look-up found; replaced as a whole, so readers need no lock.

    Attributes:
        snapshot: the last one that was found, kept while a part is down.
        index: the last index in force that was found, also where no served model fits it.
        error: why there is no snapshot in force now; None where there is one.
        looked_at: when the look-up ended, by the monotonic clock.
    """

    snapshot: ServingSnapshot | None
    index: IndexInfo | None
    error: CardexError | None
    looked_at: float


class ActiveIndex:
    """The snapshot in force. One thread looks it up; any number of readers never wait for it."""

    def __init__(
        self,
        encoder: Encoder,
        indexes: Indexes,
        calibration_of: Callable[[ModelInfo], Calibration | None] = lambda _: None,
        novelty_of: Callable[[ModelInfo], Novelty | None] = lambda _: None,
        *,
        period_s: float = PERIOD_S,
    ) -> None:
        """Prepare look-ups; nothing is asked yet.

        Args:
            encoder: where models are looked up.
            indexes: where the index in force is looked up.
            calibration_of: reads a model's statements; asked once for each version, as the next.
            novelty_of: reads what tells ECGs that are unlike the model's training ECGs.
            period_s: seconds between look-ups.
        """
        self._encoder = encoder
        self._indexes = indexes
        self._calibration_of = calibration_of
        self._novelty_of = novelty_of
        self._companions: dict[str, _Companions] = {}
        self._period_s = period_s
        self.on_found: Callable[[ServingSnapshot], None] = lambda _: None
        """Is told each snapshot that a look-up finds, whether it is new or not."""
        starting = Unavailable("the index in force is not known yet", retry_after_s=PERIOD_S)
        self._state = _State(None, None, starting, time.monotonic())
        self._one_at_a_time = threading.Lock()
        self._looked_up = threading.Event()
        self._wanted = threading.Event()
        self._closed = threading.Event()

    def start(self) -> None:
        """Look the snapshot up again and again, from a thread of its own, until `close`.

        Returns after the first look-up, or at the latest when that takes too long.
        """
        threading.Thread(target=self._run, name="active-index", daemon=True).start()
        self._looked_up.wait(STALE_S)

    def close(self) -> None:
        """Stop looking up."""
        self._closed.set()
        self._wanted.set()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self.refresh()
            except Exception:
                # Unforeseen: said in the log, and by `current` as a look-up that does not end.
                logger.exception("the index in force cannot be looked up")
            self._looked_up.set()
            self._wanted.wait(self._period_s)
            self._wanted.clear()

    def current(self) -> ServingSnapshot:
        """Return the snapshot in force, as of the last look-up.

        Raises:
            VersionMismatch: if no model is served that the index was built with, or its statements
                belong to another; names both.
            IndexMissing: if there is no index.
            Unavailable: if Triton or Milvus is down or hangs.
        """
        state = self._state
        if state.error is not None:
            raise state.error.with_traceback(None)
        if time.monotonic() - state.looked_at > self._period_s + STALE_S:
            raise Unavailable(
                f"Milvus or Triton has not answered for {STALE_S:g} s", retry_after_s=PERIOD_S
            )
        assert state.snapshot is not None
        return state.snapshot

    def current_or_looked_up(self) -> ServingSnapshot:
        """Return the snapshot in force; where there is none, look it up now, and wait for that.

        Raises:
            CardexError: as `current`.
        """
        try:
            return self.current()
        except CardexError:
            self.refresh()
            return self.current()

    def last_known(self) -> ServingSnapshot | None:
        """Return the snapshot in force, or the last one while a part is down or hangs."""
        return self._state.snapshot

    def last_known_index(self) -> IndexInfo | None:
        """Return the index in force, even where no served model fits it."""
        return self._state.index

    def suspect(self, error: CardexError) -> None:
        """Take a failed call for the state of things until the next look-up, which begins now."""
        self._state = replace(self._state, error=error)
        self._wanted.set()

    def refresh(self) -> None:
        """Look up once, now; an error is kept for those who ask for the snapshot."""
        with self._one_at_a_time:
            index = snapshot = error = None
            try:
                index = self._indexes.current()
                snapshot = self._snapshot_of(index)
            except CardexError as found:
                error = found
            before = self._state
            if isinstance(error, Unavailable):  # as far as is known, nothing has changed
                snapshot, index = before.snapshot, index or before.index
            self._state = _State(snapshot, index, error, time.monotonic())
            if snapshot is not None and error is None:
                self.on_found(snapshot)

    def _snapshot_of(self, index: IndexInfo) -> ServingSnapshot:
        model = served_model(self._encoder, index.model_version)
        if model is None:
            served = " and ".join(model.version for model in self._encoder.models())
            raise VersionMismatch(
                f"Triton serves model {served}, but index {index.name} was built with"
                f" {index.model_version}: rebuild it with `cardex index`, or deploy that model"
            )
        return ServingSnapshot(model, index, *self._companions_of(model))

    def _companions_of(self, model: ModelInfo) -> _Companions:
        """Return what came with a model; prompts are embedded once for each model version."""
        if model.version not in self._companions:
            calibration, novelty = self._calibration_of(model), self._novelty_of(model)
            # Last: where a file is wrong, the prompts are not embedded again and again.
            predictor = Predictor.of(calibration, self._encoder, model) if calibration else None
            self._companions[model.version] = (calibration, predictor, novelty)
        return self._companions[model.version]
