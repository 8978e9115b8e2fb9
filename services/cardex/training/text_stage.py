"""The text stage: the report encoder, which all later stages are aligned to."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import nn

from cardex.evaluation.dataset import Dataset
from cardex.reports.normalise import clean_report
from cardex.reports.translations import names_of
from cardex.training.corpora import Corpus, statement_matrix
from cardex.training.recipe import Recipe, TextRecipe
from cardex.training.space import axes_of_wording
from cardex.training.stage import RunContext, Stage, digest_weights, hash_parts, run_stage
from cardex.training.text import TextTargets, TextTower, prepare_text, read_texts, sizes
from cardex.training.text_encoder import ReportEncoder, TextEncoder
from cardex.training.tokens import LENGTH, token_ids, train_tokenizer
from cardex.training.trainer import Batch, Prepared
from cardex.training.words import wording

NAME_REPEATS = 5
"""Each name of a statement is trained on as often as a report that five records share."""


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
        bank_content: (reports, S + W) what the reports are scored by.
    """

    def __init__(
        self, corpus: Corpus, descriptions: dict[str, str], recipe: Recipe, context: RunContext
    ) -> None:
        """Train the report encoder, or load it from the work folder.

        Args:
            corpus: the training records.
            descriptions: statement code to its description, which is trained on in every language
                that it has a name in.
            recipe: the encoder's size, loss and plan.
            context: work folder and device.

        Raises:
            CardexError: if parts of the recipe exclude each other, or its pretrained encoder
                cannot be used.
        """
        recipe.check()
        self.corpus = corpus
        names = _names(descriptions, corpus.codes)
        plan = recipe.text
        texts = [*corpus.texts, *(name.text for name in names)]
        if plan.clean:
            texts = [clean_report(text) for text in texts]
        self.encoder, self.tokenizer = _new_text_encoder(
            plan, texts, len(corpus.codes), recipe.image.prototypes
        )
        # The weights in a folder of that name may change.
        begins = [digest_weights(self.encoder)] if plan.pretrained else []
        ids = token_ids(self.tokenizer, texts)
        labels = statement_matrix(corpus.records, corpus.codes)
        self.key = hash_parts(
            "text", msgspec.json.encode(plan), ids.tobytes(), corpus.own.tobytes(),
            labels.tobytes(), recipe.image.prototypes, *begins,
        )  # fmt: skip
        samples = _samples(corpus, len(names))

        def build() -> nn.Module:
            dimensions = axes_of_wording(plan.tower, len(corpus.codes))
            vectors = _same_for_all_languages(wording(texts, dimensions), names, len(corpus.texts))
            return TextTower(self.encoder, _targets(corpus, names, vectors), plan.statements)

        prepare = partial(_prepare_report, ids, samples)
        lengths = sizes(ids[samples.texts])
        run_stage(
            context,
            Stage("text", self.key, self.encoder, build, plan.plan, plan.seed, prepare, lengths),
        )
        self.ids = ids[: len(corpus.texts)]
        self.bank, self.bank_content, self.bank_wording = read_texts(
            self.encoder, self.ids, context.distributed
        )


def reports_of(
    dataset: Dataset, folds: Sequence[int], recipe: Recipe, context: RunContext
) -> Reports:
    """Run the text stage on the reports of some folds of a data set; see `Reports`."""
    corpus = Corpus.of([record for record in dataset.records if record.fold in folds])
    return Reports(corpus, dataset.descriptions, recipe, context)


@dataclass(frozen=True, slots=True)
class _Name:
    """The name of a statement in one language."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class _Samples:
    """What the report encoder is trained on: records' reports, and statements' names.

    Attributes:
        texts: (samples,) int64, the text of each sample; the names' stand after the reports'.
        rows: (samples,) int64, the row of its targets; the names' stand after the records'.
    """

    texts: NDArray[np.int64]
    rows: NDArray[np.int64]


def _names(descriptions: dict[str, str], codes: Sequence[str]) -> list[_Name]:
    return [
        _Name(code, text)
        for code, description in sorted(descriptions.items())
        if code in codes
        for text in names_of(code, description).values()
    ]


def _samples(corpus: Corpus, names: int) -> _Samples:
    again = np.tile(np.arange(names), NAME_REPEATS)
    return _Samples(
        np.concatenate([corpus.own, len(corpus.texts) + again]),
        np.concatenate([np.arange(len(corpus.own)), len(corpus.own) + again]),
    )


def _same_for_all_languages(
    vectors: NDArray[np.float32], names: Sequence[_Name], first: int
) -> NDArray[np.float32]:
    """Give all names of a statement the direction of their mean; they begin at row `first`."""
    vectors = vectors.copy()
    for code in {name.code for name in names}:
        rows = [first + place for place, name in enumerate(names) if name.code == code]
        mean = vectors[rows].mean(axis=0)
        vectors[rows] = mean / max(float(np.linalg.norm(mean)), 1e-6)
    return vectors


def _targets(corpus: Corpus, names: Sequence[_Name], vectors: NDArray[np.float32]) -> TextTargets:
    statements = np.zeros((len(names), len(corpus.codes)), dtype=np.float32)
    for row, name in enumerate(names):
        statements[row, corpus.codes.index(name.code)] = 1.0
    records = len(corpus.own)
    rows = np.concatenate([corpus.own, len(corpus.texts) + np.arange(len(names))])
    return TextTargets(
        statements=torch.from_numpy(
            np.concatenate([statement_matrix(corpus.records, corpus.codes), statements])
        ),
        words=torch.from_numpy(vectors[rows]),
        whole=(torch.arange(len(rows)) < records).float(),
    )


def _new_text_encoder(
    plan: TextRecipe, texts: Sequence[str], statements: int, prototypes: int
) -> tuple[ReportEncoder, Tokenizer]:
    """Make the report encoder, with random weights or pretrained ones, and its tokenizer."""
    torch.manual_seed(plan.seed)
    if not plan.pretrained:
        tokenizer = train_tokenizer(texts, plan.vocabulary)
        count = tokenizer.get_vocab_size()
        return TextEncoder(plan.tower, count, LENGTH, statements, prototypes), tokenizer
    # The import takes seconds, and few recipes need it.
    from cardex.training.pretrained import PretrainedTextEncoder, load_pretrained

    backbone, tokenizer = load_pretrained(plan.pretrained, LENGTH)
    encoder = PretrainedTextEncoder(backbone, plan.tower.embedding, statements, prototypes)
    return encoder, tokenizer


def _prepare_report(ids: NDArray[np.int32], samples: _Samples, batch: Batch) -> Prepared:
    return prepare_text(ids[samples.texts[batch.samples]], samples.rows[batch.samples])
