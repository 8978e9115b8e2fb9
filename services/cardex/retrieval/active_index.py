"""Which model answers from which index, and that the two belong together."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cardex.domain.errors import CardexError, VersionMismatch
from cardex.domain.index import IndexInfo
from cardex.inference.encoder import Encoder, ModelInfo, served_model
from cardex.inference.statements import Calibration, Predictor


@dataclass(frozen=True, slots=True)
class ServingSnapshot:
    """One model, the index that was built with it, and what was calibrated for it.

    Attributes:
        model: what is served.
        index: what is searched.
        calibration: of its statements, None where the model came without.
        predictor: by that calibration.
    """

    model: ModelInfo
    index: IndexInfo
    calibration: Calibration | None = None
    predictor: Predictor | None = None

    @property
    def version(self) -> str:
        """Version of everything but the index that an answer depends on."""
        calibrated = self.calibration.fingerprint if self.calibration else ""
        return f"{self.model.version}|{self.model.matcher}|{calibrated}"


class Indexes(Protocol):
    """Where the index that answers now is looked up."""

    def current(self) -> IndexInfo:
        """Return it; raises IndexMissing or Unavailable."""


class ActiveIndex:
    """The edition in force, looked up at most every `ttl_s` seconds."""

    def __init__(
        self,
        encoder: Encoder,
        indexes: Indexes,
        calibration_of: Callable[[ModelInfo], Calibration | None] = lambda _: None,
        *,
        ttl_s: float = 1.0,
    ) -> None:
        """Look editions up at `encoder` and `indexes`, and their calibration by `calibration_of`."""
        self._encoder = encoder
        self._indexes = indexes
        self._calibration_of = calibration_of
        self._predictors: dict[str, tuple[Calibration, Predictor] | None] = {}
        self._ttl_s = ttl_s
        self._lock = threading.Lock()
        self._edition: ServingSnapshot | None = None
        self._checked = 0.0

    def current(self) -> ServingSnapshot:
        """Return the edition in force.

        Raises:
            VersionMismatch: if no model is served that the index was built with, or its statements
                belong to another; names both.
            IndexMissing: if there is no index.
            Unavailable: if Triton or Milvus is down.
        """
        with self._lock:
            if self._edition is None or time.monotonic() - self._checked > self._ttl_s:
                self._edition = self._look_up()
                self._checked = time.monotonic()
            return self._edition

    def last_known(self) -> ServingSnapshot | None:
        """Return the edition in force, or the last one while a part is down."""
        try:
            return self.current()
        except CardexError:
            return self._edition

    def forget(self) -> None:
        """Look the edition up at the next call, after the index changed."""
        with self._lock:
            self._checked = 0.0

    def _look_up(self) -> ServingSnapshot:
        index = self._indexes.current()
        model = served_model(self._encoder, index.model_version)
        if model is None:
            served = " and ".join(model.version for model in self._encoder.models())
            raise VersionMismatch(
                f"Triton serves model {served}, but index {index.name} was built with"
                f" {index.model_version}: rebuild it with `cardex index`, or deploy that model"
            )
        calibration, predictor = self._predictor_for(model) or (None, None)
        return ServingSnapshot(model, index, calibration, predictor)

    def _predictor_for(self, model: ModelInfo) -> tuple[Calibration, Predictor] | None:
        """Return calibration and predictor; the prompts are embedded once for each model version."""
        if model.version not in self._predictors:
            calibration = self._calibration_of(model)
            predictor = calibration and Predictor.of(calibration, self._encoder, model)
            self._predictors[model.version] = (
                (calibration, predictor) if calibration and predictor else None
            )
        return self._predictors[model.version]
