"""Which model answers from which index, and that the two belong together."""

import threading
import time
from dataclasses import dataclass
from typing import Protocol

from services.domain.errors import CardexError, VersionMismatch
from services.inference.encoder import Encoder, ModelInfo
from services.stores.reports import IndexInfo


@dataclass(frozen=True, slots=True)
class Edition:
    """One model and the index that was built with it."""

    model: ModelInfo
    index: IndexInfo


class Indexes(Protocol):
    """Where the index that answers now is looked up."""

    def current(self) -> IndexInfo:
        """Return it; raises IndexMissing or Unavailable."""


class Catalogue:
    """The edition in force, looked up at most every `ttl_s` seconds."""

    def __init__(self, encoder: Encoder, indexes: Indexes, *, ttl_s: float = 1.0) -> None:
        """Look editions up at `encoder` and `indexes`."""
        self._encoder = encoder
        self._indexes = indexes
        self._ttl_s = ttl_s
        self._lock = threading.Lock()
        self._edition: Edition | None = None
        self._checked = 0.0

    def current(self) -> Edition:
        """Return the edition in force.

        Raises:
            VersionMismatch: if the index was built with another model; names both.
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
        return Edition(model, index)
