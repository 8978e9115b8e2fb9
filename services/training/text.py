"""The report encoder: its tokenizer, its targets and its training.

It learns, from the reports of the training folds alone, which statements a report makes (SCP
codes) and how it is worded (TF-IDF, reduced by SVD). It is then locked and the image encoder is aligned
to it (LiT, Zhai 2022), which suits 17,000 reports and only 3,000 waveforms.
"""

import logging
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import svds
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor

from services.training.models import TextEncoder, TowerConfig
from services.training.schedule import Trainer

logger = logging.getLogger(__name__)

LENGTH = 64
STATEMENT_WEIGHT = 20.0


def train_tokenizer(texts: Sequence[str], vocabulary: int = 3000) -> Tokenizer:
    """Train a lower-casing WordPiece tokenizer that always returns `LENGTH` ids, padded with 0."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        texts,
        trainers.WordPieceTrainer(
            vocab_size=vocabulary,
            special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(length=LENGTH, pad_id=0, pad_token="[PAD]")
    return tokenizer


def token_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> Tensor:
    """Tokenize texts: (texts, LENGTH) int32."""
    encoded = tokenizer.encode_batch(list(texts))
    return torch.tensor([item.ids for item in encoded], dtype=torch.int32)


def wording(ids: Tensor, vocabulary: int, dimensions: int) -> NDArray[np.float32]:
    """Return (reports, dimensions) unit vectors: TF-IDF of the token ids, reduced by SVD.

    The square root of each singular value is left in, between the values themselves, in which the
    commonest phrases drown the rest, and none at all.
    """
    rows, columns = np.nonzero(ids.numpy() > 4)  # the first five ids are special tokens
    tokens = ids.numpy()[rows, columns]
    counts = sparse.coo_array(
        (np.ones(len(rows), np.float32), (rows, tokens)), shape=(len(ids), vocabulary)
    ).tocsr()
    counts.data = 1.0 + np.log(counts.data)
    document_frequency = np.asarray((counts > 0).sum(axis=0)).ravel()
    weights = np.log((1 + len(ids)) / (1 + document_frequency)) + 1.0
    left, values, _ = svds(counts.multiply(weights).tocsr(), k=dimensions, random_state=0)
    vectors = left * np.sqrt(values)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(norms, 1e-6)).astype(np.float32)


def text_loss(encoder: TextEncoder, ids: Tensor, statements: Tensor, words: Tensor) -> Tensor:
    """Return statement cross-entropy plus wording cosine distance of a batch."""
    log_odds, found = encoder.read(ids)
    stated = F.binary_cross_entropy_with_logits(log_odds, statements)
    return STATEMENT_WEIGHT * stated + (1.0 - (found * words).sum(dim=-1)).mean()


def train_text(
    ids: Tensor, statements: NDArray[np.float32], config: TowerConfig, vocabulary: int, epochs: int
) -> TextEncoder:
    """Train the report encoder on (reports, LENGTH) ids and (reports, codes) statements."""
    codes = statements.shape[1]
    encoder = TextEncoder(config, vocabulary, LENGTH, codes)
    words = torch.from_numpy(wording(ids, vocabulary, config.embedding - codes - 1))
    targets = torch.from_numpy(statements)
    trainer = Trainer(encoder, rate=1e-3, epochs=epochs, batch=64, samples=len(ids))
    for batch in trainer.batches():
        trainer.step(text_loss(encoder, ids[batch], targets[batch], words[batch]))
    return encoder.eval()
