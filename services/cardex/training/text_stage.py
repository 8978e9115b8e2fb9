"""The text stage: the report encoder, which all later stages are aligned to."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import nn

from cardex.reports.normalise import clean_report
from cardex.training.corpora import Corpus, statement_matrix
from cardex.training.models import ReportEncoder, StatementSpace, TextEncoder
from cardex.training.recipe import Recipe, TextRecipe
from cardex.training.stage import RunContext, Stage, digest_weights, hash_parts, run_stage
from cardex.training.text import TextTower, prepare_text, read_texts, sizes
from cardex.training.tokens import LENGTH, token_ids, train_tokenizer
from cardex.training.trainer import Batch, Prepared
from cardex.training.words import wording

DESCRIPTION_REPEATS = 5
"""Each statement's description is trained on as often as a report that five records share."""


class Reports:
    """The text stage's result.

    Attributes:
        corpus: the training records and their distinct reports.
        encoder: the report encoder, which later stages do not change.
        tokenizer: splits reports into token ids.
        key: hash of what decides the stage.
        ids: (reports, length) int32 token ids of the distinct reports.
        bank: (reports, E) embeddings of the distinct reports.
        bank_wording: (reports, W) the wording part of the embeddings.
    """

    def __init__(
        self, corpus: Corpus, descriptions: dict[str, str], recipe: Recipe, context: RunContext
    ) -> None:
        """Train the report encoder, or load it from the work folder.

        Args:
            corpus: the training records.
            descriptions: statement code to its description, which is trained on like a report.
            recipe: the encoder's size, loss and plan.
            context: work folder and device.

        Raises:
            CardexError: if parts of the recipe exclude each other, or its pretrained encoder
                cannot be used.
        """
        recipe.check()
        self.corpus = corpus
        words = [text for code, text in sorted(descriptions.items()) if code in corpus.codes]
        codes = [code for code in sorted(descriptions) if code in corpus.codes]
        plan = recipe.text
        texts = [clean_report(text) if plan.clean else text for text in [*corpus.texts, *words]]
        self.encoder, self.tokenizer = _new_text_encoder(plan, texts, len(corpus.codes))
        # The weights in a folder of that name may change.
        begins = [digest_weights(self.encoder)] if plan.pretrained else []
        ids = token_ids(self.tokenizer, texts)
        self.key = hash_parts("text", msgspec.json.encode(plan), ids.tobytes(), *begins)
        statements = np.concatenate(
            [statement_matrix(corpus.records, corpus.codes), _identity(codes, corpus.codes)]
        )
        extra = len(corpus.texts) + np.arange(len(words))
        own = np.concatenate([corpus.own, extra])
        samples = np.concatenate(
            [
                np.arange(len(corpus.own)),
                *[len(corpus.own) + np.arange(len(words))] * DESCRIPTION_REPEATS,
            ]
        )

        def build() -> nn.Module:
            dimensions = plan.tower.embedding - len(corpus.codes) - StatementSpace.FILLING
            targets = torch.from_numpy(wording(texts, dimensions)[own])
            return TextTower(self.encoder, torch.from_numpy(statements), targets, plan.statements)

        prepare = partial(_prepare_report, ids[own], samples)
        lengths = sizes(ids[own[samples]])
        run_stage(
            context,
            Stage("text", self.key, self.encoder, build, plan.plan, plan.seed, prepare, lengths),
        )
        self.ids = ids[: len(corpus.texts)]
        self.bank, self.bank_wording = read_texts(self.encoder, self.ids, context.distributed)


def _new_text_encoder(
    plan: TextRecipe, texts: Sequence[str], statements: int
) -> tuple[ReportEncoder, Tokenizer]:
    """Make the report encoder, with random weights or pretrained ones, and its tokenizer."""
    torch.manual_seed(plan.seed)
    if not plan.pretrained:
        tokenizer = train_tokenizer(texts, plan.vocabulary)
        return TextEncoder(plan.tower, tokenizer.get_vocab_size(), LENGTH, statements), tokenizer
    # The import takes seconds, and few recipes need it.
    from cardex.training.pretrained import PretrainedTextEncoder, load_pretrained

    backbone, tokenizer = load_pretrained(plan.pretrained, LENGTH)
    return PretrainedTextEncoder(backbone, plan.tower.embedding, statements), tokenizer


def _prepare_report(ids: NDArray[np.int32], samples: NDArray[np.int64], batch: Batch) -> Prepared:
    return prepare_text(ids, replace(batch, samples=samples[batch.samples]))


def _identity(codes: Sequence[str], axes: Sequence[str]) -> NDArray[np.float32]:
    matrix = np.zeros((len(codes), len(axes)), dtype=np.float32)
    for row, code in enumerate(codes):
        matrix[row, axes.index(code)] = 1.0
    return matrix
