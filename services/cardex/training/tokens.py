"""Trains the WordPiece tokenizer; the same reports always give the same pieces."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

LENGTH = 64
SHORTEST_PIECE = 3


@dataclass(frozen=True, slots=True)
class Pieces:
    """Ids of the special pieces."""

    pad: int = 0
    unknown: int = 1
    cls: int = 2
    sep: int = 3
    mask: int = 4

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the special pieces, in the order of their ids."""
        return ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


PIECES = Pieces()


def train_tokenizer(texts: Sequence[str], size: int = 3000) -> Tokenizer:
    """Make a lower-casing WordPiece tokenizer that always returns `LENGTH` ids, padded with 0.

    Its pieces are all characters, and those words, word beginnings and word ends that save the most
    pieces. The library's own trainer is not used, because its order of ties differs by process.

    Args:
        texts: the reports.
        size: number of pieces.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token=PIECES.names[PIECES.unknown]))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words = Counter(
        word
        for text in texts
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(
            tokenizer.normalizer.normalize_str(text)
        )
    )
    vocabulary = {piece: place for place, piece in enumerate(_pieces(words, size))}
    tokenizer.model = models.WordPiece(vocabulary, unk_token=PIECES.names[PIECES.unknown])
    tokenizer.add_special_tokens(list(PIECES.names))
    tokenizer.post_processor = processors.BertProcessing(
        (PIECES.names[PIECES.sep], PIECES.sep), (PIECES.names[PIECES.cls], PIECES.cls)
    )
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(length=LENGTH, pad_id=PIECES.pad, pad_token=PIECES.names[PIECES.pad])
    return tokenizer


def _pieces(words: Counter[str], size: int) -> list[str]:
    letters = sorted({letter for word in words for letter in word})
    spared: Counter[str] = Counter()
    for word, count in words.items():
        spared[word] += count * (len(word) - 1)
        for length in range(SHORTEST_PIECE, len(word)):
            spared[word[:length]] += count * (length - 1) // len(word)
            spared[f"##{word[-length:]}"] += count * (length - 1) // len(word)
    fixed = [*PIECES.names, *letters, *(f"##{letter}" for letter in letters)]
    ranked = sorted(spared, key=lambda piece: (-spared[piece], piece))
    known = set(fixed)
    return fixed + [piece for piece in ranked if piece not in known][: max(0, size - len(fixed))]


def token_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> NDArray[np.int32]:
    """Tokenize texts: (texts, length) int32."""
    encoded = tokenizer.encode_batch(list(texts))
    return np.array([item.ids for item in encoded], dtype=np.int32)
