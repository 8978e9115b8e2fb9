"""From a data set and a recipe to trained models, stage by stage; a finished stage is not done again.

Stages are kept under the name of everything that decides them, so experiments share what they have in common.
"""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import nn

from cardex.domain.ecg import Signal
from cardex.domain.errors import CardexError
from cardex.evaluation.ecgs import Ecgs
from cardex.evaluation.evaluate import TRAINING_FOLDS
from cardex.reports.normalise import clean_report
from cardex.signals.image_spec import ImageSpec
from cardex.training import checkpoint
from cardex.training.corpora import Corpus, statement_matrix
from cardex.training.distributed import DistributedContext
from cardex.training.image import (
    ImageTower,
    Lesson,
    StudentTower,
    new_encoder,
    prepare_images,
    windows_of,
)
from cardex.training.matcher import Matcher
from cardex.training.matching import MatcherTower
from cardex.training.models import ImageEncoder, ReportEncoder, StatementSpace, TextEncoder
from cardex.training.recipe import Recipe, TextRecipe
from cardex.training.text import TextTower, prepare_text, read_texts, sizes
from cardex.training.tokens import LENGTH, token_ids, train_tokenizer
from cardex.training.trainer import Batch, Plan, Prepared, Trainer
from cardex.training.words import frequent_terms, term_matrix, wording

logger = logging.getLogger(__name__)

CALIBRATION_FOLD = 8
SIBLING = 50
"""Number of the teacher that a sibling would be."""
DESCRIPTION_REPEATS = 5
"""Each statement's description is read as often as a report that five records have."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """Where and how stages are run.

    Attributes:
        work: folder of finished stages, checkpoints and logs.
        machine: what computes.
        tensorboard: also write its event files.
        stop_after: steps after which a stage is interrupted, to be gone on with later.
    """

    work: Path
    machine: DistributedContext
    tensorboard: bool = False
    stop_after: int | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    """The models of a recipe, and what they learned from.

    Attributes:
        recipe: it.
        tokenizer: of the reports.
        text: the report encoder.
        image: the image encoder.
        matcher: None where the recipe has none.
        codes: statements that have an axis.
    """

    recipe: Recipe
    tokenizer: Tokenizer
    text: ReportEncoder
    image: ImageEncoder
    matcher: Matcher | None
    codes: list[str]


def train(reports: "Reports", ecgs: Ecgs, recipe: Recipe, place: RunContext) -> Trained:
    """Train every stage of `recipe` after the reports'.

    Args:
        reports: of the training folds.
        ecgs: the training folds' waveforms.
        recipe: what to train.
        place: where.

    Raises:
        CardexError: if a stage cannot begin, its loss is not finite, or it was interrupted.
    """
    pupils = Pupils(reports, ecgs, recipe, place)
    image, key = _image_stages(pupils)
    matcher = pupils.match(image, key) if recipe.matcher else None
    codes = reports.corpus.codes
    return Trained(recipe, reports.tokenizer, reports.encoder, image, matcher, codes)


def sibling(reports: "Reports", ecgs: Ecgs, recipe: Recipe, place: RunContext) -> ImageEncoder:
    """Train the recipe's image encoder, without teachers, on all but the calibration fold."""
    others = ecgs.of_folds([fold for fold in TRAINING_FOLDS if fold != CALIBRATION_FOLD])
    return Pupils(reports, others, recipe, place).train(
        "sibling", teacher_seed(recipe.seed, SIBLING)
    )[0]


class Reports:
    """The text stage's result: tokenizer, locked encoder, and the bank of all training reports."""

    def __init__(
        self, corpus: Corpus, descriptions: dict[str, str], recipe: Recipe, place: RunContext
    ) -> None:
        """Train the report encoder, or take it from the last time.

        Raises:
            CardexError: if the recipe asks for what does not go together, or its encoder cannot be used.
        """
        recipe.check()
        self.corpus = corpus
        words = [text for code, text in sorted(descriptions.items()) if code in corpus.codes]
        codes = [code for code in sorted(descriptions) if code in corpus.codes]
        plan = recipe.text
        texts = [clean_report(text) if plan.clean else text for text in [*corpus.texts, *words]]
        self.encoder, self.tokenizer = _new_text_encoder(plan, texts, len(corpus.codes))
        begins = [_digest(self.encoder)] if plan.pretrained else []  # a folder's weights may change
        ids = token_ids(self.tokenizer, texts)
        self.key = _key("text", msgspec.json.encode(plan), ids.tobytes(), *begins)
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

        _stage(
            place, "text", self.key, self.encoder, build, plan.plan, plan.seed,
            partial(_prepare_report, ids[own], samples), sizes(ids[own[samples]]),
        )  # fmt: skip
        self.ids = ids[: len(corpus.texts)]
        self.bank, self.bank_wording = read_texts(self.encoder, self.ids, place.machine)


class Pupils:
    """Image encoders of one recipe and one set of ECGs."""

    def __init__(self, text: Reports, ecgs: Ecgs, recipe: Recipe, place: RunContext) -> None:
        """Gather what the ECGs are to be like."""
        corpus = text.corpus
        place_of = {record.ecg_id: row for row, record in enumerate(corpus.records)}
        keep = [i for i, record in enumerate(ecgs.records) if record.ecg_id in place_of]
        rows = np.array([place_of[ecgs.records[i].ecg_id] for i in keep], dtype=np.int64)
        records = [ecgs.records[i] for i in keep]
        self.signals = _seen(ecgs.signals[keep], recipe.spec)
        self.own = torch.from_numpy(corpus.own[rows])
        statements = torch.from_numpy(statement_matrix(records, corpus.codes))
        shares = statements.mean(dim=0).clamp(1e-4, 1 - 1e-4)
        self.prior = shares.logit()
        terms = frequent_terms([record.text for record in corpus.records])
        self.lesson = Lesson(
            statements=statements,
            words=torch.from_numpy(term_matrix([record.text for record in records], terms)),
            own=self.own,
            bank=text.bank_wording,
            bank_statements=torch.from_numpy(corpus.statements_of_texts()),
            bank_ids=torch.from_numpy(text.ids),
        )
        self.text, self.recipe, self.place = text, recipe, place

    def new(self, seed: int) -> ImageEncoder:
        """Make an encoder with random weights."""
        torch.manual_seed(seed)
        return new_encoder(self.recipe.image, self.recipe.spec, self.prior)

    def train(self, name: str, seed: int) -> tuple[ImageEncoder, str]:
        """Train one by the recipe's losses; returns it with its key."""
        encoder, how = self.new(seed), self.recipe.image
        parts = msgspec.json.encode(
            (how.size, how.patch, how.plan, how.losses, how.augmentation, self.recipe.spec)
        )
        key = _key(self.text.key, parts, seed, len(self.signals))

        def build() -> nn.Module:
            return ImageTower(encoder, self.lesson, how.losses, self.text.encoder)

        self._stage(name, key, encoder, build, how.plan, seed)
        return encoder, key

    def study(
        self, name: str, seed: int, teachers: Sequence[tuple[ImageEncoder, str]]
    ) -> tuple[ImageEncoder, str]:
        """Train one towards the mean of its teachers; returns it with its key."""
        encoder, how = self.new(seed), self.recipe.image
        key = _key(*(key for _, key in teachers), msgspec.json.encode(how.study), seed)

        def build() -> nn.Module:
            return StudentTower(encoder, [teacher for teacher, _ in teachers])

        self._stage(name, key, encoder, build, how.study, seed)
        return encoder, key

    def match(self, image: ImageEncoder, image_key: str) -> Matcher:
        """Train the matcher over a locked image encoder."""
        how, text = self.recipe.matcher, self.text.encoder
        assert how is not None
        assert isinstance(text, TextEncoder)
        torch.manual_seed(self.recipe.seed)
        matcher = Matcher(image, text, text.config)
        key = _key(image_key, msgspec.json.encode(how))

        def build() -> nn.Module:
            return MatcherTower(
                matcher, self.own, self.text.bank, torch.from_numpy(self.text.ids), how.language
            )

        self._stage("matcher", key, matcher, build, how.plan, self.recipe.seed, mix=0.0)
        return matcher

    def _stage(
        self, name: str, key: str, model: nn.Module, build: Callable[[], nn.Module], plan: Plan,
        seed: int, mix: float | None = None,
    ) -> None:  # fmt: skip
        how = self.recipe.image.augmentation
        if mix is not None:
            how = msgspec.structs.replace(how, mix=mix)
        prepare = partial(prepare_images, self.signals, self.recipe.spec, how)
        _stage(self.place, name, key, model, build, plan, seed, prepare, len(self.signals))


def _new_text_encoder(
    plan: TextRecipe, texts: Sequence[str], statements: int
) -> tuple[ReportEncoder, Tokenizer]:
    """Make the report encoder, with random weights or over a pretrained one, and its tokenizer."""
    torch.manual_seed(plan.seed)
    if not plan.pretrained:
        tokenizer = train_tokenizer(texts, plan.vocabulary)
        return TextEncoder(plan.tower, tokenizer.get_vocab_size(), LENGTH, statements), tokenizer
    # takes seconds to import, and few recipes name one
    from cardex.training.pretrained import PretrainedTextEncoder, load_pretrained

    backbone, tokenizer = load_pretrained(plan.pretrained, LENGTH)
    return PretrainedTextEncoder(backbone, plan.tower.embedding, statements), tokenizer


def _image_stages(pupils: Pupils) -> tuple[ImageEncoder, str]:
    seed, count = pupils.recipe.seed, pupils.recipe.image.teachers
    if not count:
        return pupils.train("image", seed)
    teachers = [pupils.train("teacher", teacher_seed(seed, number)) for number in range(count)]
    return pupils.study("image", seed, teachers)


def teacher_seed(seed: int, number: int) -> int:
    """Return the seed of a pupil's teacher; no two pupils share one."""
    return 100 * (seed + 1) + number


def _stage(
    place: RunContext, name: str, key: str, model: nn.Module, build: Callable[[], nn.Module], plan: Plan,
    seed: int, prepare: Callable[[Batch], Prepared], lengths: Sequence[int] | int,
) -> None:  # fmt: skip
    """Train `model` inside the tower that `build` makes, or load it where that was done before.

    Only the first process writes; every process goes on with what it wrote.
    """
    finished = place.work / f"{name}-{key}.pt"
    known = checkpoint.load(finished, key)
    if known is None:
        _train(place, f"{name}-{key}", build(), plan, seed, prepare, lengths)
        if place.machine.first:
            checkpoint.save(finished, {"fingerprint": key, "model": model.cpu().state_dict()})
            (place.work / f"{name}-{key}.checkpoint").unlink(missing_ok=True)
        place.machine.wait()
        known = checkpoint.load(finished, key)
    if known is None:
        raise CardexError(f"{finished} is not there: all processes need the same --work folder")
    model.cpu().load_state_dict(known["model"])
    model.eval()


def _train(
    place: RunContext, name: str, tower: nn.Module, plan: Plan, seed: int,
    prepare: Callable[[Batch], Prepared], lengths: Sequence[int] | int,
) -> None:  # fmt: skip
    trainer = Trainer(
        name, plan, seed=seed, machine=place.machine, folder=place.work,
        tensorboard=place.tensorboard, stop_after=place.stop_after,
    )  # fmt: skip
    trainer.train(tower, prepare, lengths, getattr(tower, "after_step", lambda: None))


def _prepare_report(ids: NDArray[np.int32], samples: NDArray[np.int64], batch: Batch) -> Prepared:
    return prepare_text(ids, replace(batch, samples=samples[batch.samples]))


def _seen(signals: Signal, spec: ImageSpec) -> Signal:
    """Return what augmentation cuts windows from: whole records, or each one's median beat."""
    return windows_of(signals, spec) if spec.source == "median-beat" else signals


def _identity(codes: Sequence[str], axes: Sequence[str]) -> NDArray[np.float32]:
    matrix = np.zeros((len(codes), len(axes)), dtype=np.float32)
    for row, code in enumerate(codes):
        matrix[row, axes.index(code)] = 1.0
    return matrix


def _digest(module: nn.Module) -> str:
    return _key(*(value.numpy().tobytes() for value in module.state_dict().values()))


def _key(*parts: str | bytes | int) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else str(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:10]
