"""WordPiece tokenizer of the report text encoder."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from cardex.domain.errors import ConfigurationError


class ReportTokenizer:
    """Turns report text into token ids of a fixed length.

    Attributes:
        fingerprint: SHA-256 of the tokenizer file; a model's configuration names the one that it
            was trained with.
        length: number of token ids of every report.
    """

    def __init__(self, path: Path) -> None:
        """Load `tokenizer.json`.

        Raises:
            ConfigurationError: if the file is missing or not a tokenizer.
        """
        try:
            content = path.read_bytes()
            self._tokenizer = Tokenizer.from_str(content.decode())
        except Exception as error:
            raise ConfigurationError(f"cannot load the tokenizer {path}: {error}") from error
        self.fingerprint = hashlib.sha256(content).hexdigest()
        self.length = int(self.encode([""]).shape[1])

    def encode(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """Tokenize texts.

        Returns:
            (texts, length) int32; longer texts are cut, shorter ones padded with 0.
        """
        encoded = self._tokenizer.encode_batch(list(texts))
        return np.array([item.ids for item in encoded], dtype=np.int32)
