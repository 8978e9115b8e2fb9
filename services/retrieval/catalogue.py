"""Which model answers from which index, and that the two belong together."""

import threading
import time
from dataclasses import dataclass
from typing import Protocol

from services.domain.errors import CardexError, VersionMismatch
from services.inference.encoder import Encoder, ModelInfo
from services.inference.statements import Calibration, Predictor
from services.stores.reports import IndexInfo


@dataclass(frozen=True, slots=True)
class Edition:
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


class Catalogue:
    """The edition in force, looked up at most every `ttl_s` seconds."""

    def __init__(
        self,
        encoder: Encoder,
        indexes: Indexes,
        calibration: Calibration | None = None,
        *,
        ttl_s: float = 1.0,
    ) -> None:
        """Look editions up at `encoder` and `indexes`."""
        self._encoder = encoder
        self._indexes = indexes
        self._calibration = calibration
        self._predictor: Predictor | None = None
        self._ttl_s = ttl_s
        self._lock = threading.Lock()
        self._edition: Edition | None = None
        self._checked = 0.0

    def current(self) -> Edition:
        """Return the edition in force.

        Raises:
            VersionMismatch: if index or statements belong to another model; names both.
            IndexMissing: if there is no index.
            Unavailable: if Triton or Milvus is down.
        """
        with self._lock:
            if self._edition is None or time.monotonic() - self._checked > self._ttl_s:
                self._edition = self._look_up()
                self._checked = time.monotonic()
            return self._edition

    def last_known(self) -> Edition | None:
        """Return the edition in force, or the last one while a part is down."""
        try:
            return self.current()
        except CardexError:
            return self._edition

    def forget(self) -> None:
        """Look the edition up at the next call, after the index changed."""
        with self._lock:
            self._checked = 0.0

    def _look_up(self) -> Edition:
        model, index = self._encoder.model(), self._indexes.current()
        if index.model_version != model.version:
            raise VersionMismatch(
                f"Triton serves model {model.version}, but index {index.name} was built with"
                f" {index.model_version}: rebuild it with `cardex index`, or deploy that model"
            )
        return Edition(model, index, self._calibration, self._predictor_for(model))

    def _predictor_for(self, model: ModelInfo) -> Predictor | None:
        """Return the predictor; its prompts are embedded once, as there is one version that they fit."""
        calibration = self._calibration
        if calibration is None:
            return None
        if calibration.model_version != model.version:
            raise VersionMismatch(
                f"Triton serves model {model.version}, but the statements are calibrated for"
                f" {calibration.model_version}: set CARDEX_STATEMENTS to the file that came with it"
            )
        if self._predictor is None:
            self._predictor = Predictor.of(calibration, self._encoder)
        return self._predictor
