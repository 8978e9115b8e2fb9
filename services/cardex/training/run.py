"""From a data set and a recipe to trained models, stage by stage.

A stage's result is kept under a hash of everything that decides it, so that it is not trained
again, and experiments share the stages that they have in common.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial

import msgspec
import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from cardex.evaluation.ecgs import Ecgs
from cardex.evaluation.evaluate import TRAINING_FOLDS
from cardex.evaluation.manifest import CALIBRATION_FOLD
from cardex.training.corpora import statement_matrix
from cardex.training.image import (
    ImageTower,
    ReportTargets,
    StudentTower,
    new_vit,
    prepare_images,
)
from cardex.training.image_encoder import ImageEncoder, Vit
from cardex.training.margins import fit_margins, fit_voltages
from cardex.training.matcher import Matcher
from cardex.training.matching import MatcherTower
from cardex.training.pretraining import ViewsTower, prepare_views
from cardex.training.recipe import ImageRecipe, Recipe
from cardex.training.recordings import Recordings, key_of
from cardex.training.stage import RunContext, Stage, hash_parts, run_stage
from cardex.training.text_encoder import ReportEncoder, TextEncoder
from cardex.training.text_stage import Reports
from cardex.training.trainer import Batch, Plan, Prepared
from cardex.training.words import frequent_terms, term_matrix

CALIBRATION_OFFSET = 500
"""Added to the seed of the model that is trained without the calibration fold."""


@dataclass(frozen=True, slots=True)
class Trained:
    """The models of a recipe, and what they learned from.

    Attributes:
        recipe: the recipe that they were trained with.
        tokenizer: splits reports into token ids.
        text: the report encoder.
        image: the image encoder.
        matcher: the matcher, None where the recipe has none.
        codes: SCP codes of the statements that have an axis of the embedding, in its order.
    """

    recipe: Recipe
    tokenizer: Tokenizer
    text: ReportEncoder
    image: ImageEncoder
    matcher: Matcher | None
    codes: list[str]


class Part(Enum):
    """Which of the training ECGs an encoder learns from."""

    ALL = "all ECGs"
    WITHOUT_CALIBRATION = "without the calibration fold"


def train(reports: Reports, ecgs: Ecgs, recipe: Recipe, context: RunContext) -> Trained:
    """Train the image encoder, and the recipe's matcher, over a trained report encoder.

    Args:
        reports: the text stage's result.
        ecgs: the training folds' waveforms.
        recipe: the models' sizes, losses and plans.
        context: work folder and device.

    Raises:
        CardexError: if a stage cannot begin, its loss is not finite, or it was interrupted.
    """
    stage = image_stage(Part.ALL, reports, ecgs, recipe, context)
    image, key = stage.train_encoder()
    text = stage.fit_margins(image)
    matcher = stage.train_matcher(image, key) if recipe.matcher else None
    return Trained(recipe, reports.tokenizer, text, image, matcher, reports.corpus.codes)


def train_calibration_model(
    reports: Reports, ecgs: Ecgs, recipe: Recipe, context: RunContext
) -> tuple[ImageEncoder, ReportEncoder]:
    """Train encoders like those that are served, but without the ECGs of the calibration fold.

    Probabilities are calibrated on that fold, by a model that has not seen it.

    Returns:
        The image encoder, and the report encoder with the margins that belong to it.
    """
    stage = image_stage(Part.WITHOUT_CALIBRATION, reports, ecgs, recipe, context)
    image, _ = stage.train_encoder()
    return image, stage.fit_margins(image)


def image_stage(
    part: Part, reports: Reports, ecgs: Ecgs, recipe: Recipe, context: RunContext
) -> "ImageStage":
    """Return the image stage of a recipe on a part of the training ECGs; arguments as `train`."""
    if part is Part.ALL:
        return ImageStage(reports, ecgs, recipe, context)
    others = ecgs.of_folds([fold for fold in TRAINING_FOLDS if fold != CALIBRATION_FOLD])
    seeded = msgspec.structs.replace(recipe, seed=recipe.seed + CALIBRATION_OFFSET)
    return ImageStage(reports, others, seeded, context, prefix="calibration-")


class ImageStage:
    """Trains an image encoder on one set of ECGs: its members, their teachers, and the matcher.

    Attributes:
        ecgs: waveforms and records of those ECGs.
        views: what is drawn of them, for each image that the encoder sees.
        own: (ECGs,) int64, each ECG's report in the bank.
        prior: (S,) logit of each statement's share among the ECGs.
        targets: what the ECGs' embeddings are trained towards.
    """

    def __init__(
        self, text: Reports, ecgs: Ecgs, recipe: Recipe, context: RunContext, prefix: str = ""
    ) -> None:
        """Gather the targets of those ECGs that have a report in the corpus.

        Args:
            text: the trained report encoder and its reports.
            ecgs: waveforms and records.
            recipe: sizes, losses and plans.
            context: work folder and device.
            prefix: of the names of the stages' files.
        """
        corpus = text.corpus
        place_of = {record.ecg_id: row for row, record in enumerate(corpus.records)}
        keep = [i for i, record in enumerate(ecgs.records) if record.ecg_id in place_of]
        rows = np.array([place_of[ecgs.records[i].ecg_id] for i in keep], dtype=np.int64)
        records = [ecgs.records[i] for i in keep]
        self.ecgs = ecgs.rows(keep)
        self.views = [Recordings.of(self.ecgs, spec) for spec in recipe.specs]
        self.own = torch.from_numpy(corpus.own[rows])
        statements = torch.from_numpy(statement_matrix(records, corpus.codes))
        self.prior = statements.mean(dim=0).clamp(1e-4, 1 - 1e-4).logit()
        self._labels = hash_parts(self.own.numpy().tobytes(), statements.numpy().tobytes())
        terms = frequent_terms([record.text for record in corpus.records])
        self.targets = ReportTargets(
            statements=statements,
            words=torch.from_numpy(term_matrix([record.text for record in records], terms)),
            own=self.own,
            prior=self.prior,
            bank=text.bank_wording,
            bank_content=text.bank_content,
            bank_statements=torch.from_numpy(corpus.statements_of_texts()),
            bank_ids=torch.from_numpy(text.ids),
        )
        self.text, self.recipe, self.context, self.prefix = text, recipe, context, prefix

    def train_encoder(self) -> tuple[ImageEncoder, str]:
        """Train the recipe's image encoder, all its members; returns it with the key of it all."""
        seed, how = self.recipe.seed, self.recipe.image
        trained = [self.train_member(member_seed(seed, place)) for place in range(how.members)]
        members = [vit for vit, _ in trained]
        encoder = ImageEncoder(members, self.prior, how.prototypes, how.has_voltages)
        fit_voltages(encoder, self.ecgs, self.targets.statements, self._shares(), self.recipe.spec)
        return encoder, hash_parts(*(key for _, key in trained))

    def train_member(self, seed: int) -> tuple[Vit, str]:
        """Train one ViT: by the losses, or as the student of its teachers."""
        count = self.recipe.image.teachers
        if not count:
            return self.train_vit("image", seed)
        offsets = range(1, count + 1)
        teachers = [self.train_vit("teacher", teacher_seed(seed, offset)) for offset in offsets]
        return self.distill("image", seed, teachers)

    def train_vit(self, name: str, seed: int) -> tuple[Vit, str]:
        """Train a ViT by the recipe's losses; returns it with the key of its stage."""
        how = self.recipe.image
        encoder, begun = self._pretrained_vit(seed)
        parts = msgspec.json.encode(
            (how.size, how.patch, how.plan, how.losses, how.augmentation, self.recipe.spec)
        )
        key = hash_parts(
            self.text.key, parts, *self._second, seed, key_of(self.views), self._labels, *begun
        )

        def build() -> nn.Module:
            return ImageTower(encoder, self.targets, how.losses, self.text.encoder)

        self._stage(name, key, encoder, build, how.plan, seed)
        return encoder, key

    def distill(self, name: str, seed: int, teachers: Sequence[tuple[Vit, str]]) -> tuple[Vit, str]:
        """Train a student towards the mean of its teachers; returns it with the key of its stage.

        Args:
            name: of the stage.
            seed: of the student's weights and batches.
            teachers: trained ViTs, each with the key of its stage.
        """
        encoder, how = self.new_vit(seed), self.recipe.image
        key = hash_parts(*(key for _, key in teachers), msgspec.json.encode(how.study), seed)

        def build() -> nn.Module:
            return StudentTower(encoder, [teacher for teacher, _ in teachers])

        self._stage(name, key, encoder, build, how.study, seed)
        return encoder, key

    def fit_margins(self, image: ImageEncoder) -> ReportEncoder:
        """Fit partition and popularity to the training ECGs and reports.

        Returns:
            The report encoder with its popularity; the image encoder is changed in place.
        """
        return fit_margins(image, self.text, self.ecgs, self.recipe.specs, self.context.distributed)

    def train_matcher(self, image: ImageEncoder, image_key: str) -> Matcher:
        """Train the matcher over an image encoder that is not changed."""
        how, text = self.recipe.matcher, self.text.encoder
        assert how is not None
        assert isinstance(text, TextEncoder)
        torch.manual_seed(self.recipe.seed)
        matcher = Matcher(image, text)
        key = hash_parts(image_key, msgspec.json.encode(how), *self._joined)

        def build() -> nn.Module:
            return MatcherTower(
                matcher, self.own, self.text.bank, torch.from_numpy(self.text.ids), how.language
            )

        self._stage("matcher", key, matcher, build, how.plan, self.recipe.seed, mix=0.0)
        return matcher

    def _pretrained_vit(self, seed: int) -> tuple[Vit, tuple[str, ...]]:
        """Return a new ViT, and the key of its pretraining where the recipe has one."""
        encoder, how = self.new_vit(seed), self.recipe.image
        if how.pretraining is None:
            return encoder, ()
        parts = msgspec.json.encode(
            (how.size, how.patch, how.pretraining, how.views, self.recipe.spec, len(self.prior))
        )
        fixed = [name for name, each in encoder.named_parameters() if not each.requires_grad]
        key = hash_parts("views", parts, *self._second, *fixed, seed, key_of(self.views))
        prepare = partial(prepare_views, self.views, how.views)
        self._run(
            "pretrained", key, encoder, lambda: ViewsTower(encoder), how.pretraining, seed, prepare
        )
        return encoder, (key,)

    def new_vit(self, seed: int) -> Vit:
        """Make a ViT with random weights."""
        torch.manual_seed(seed)
        return new_vit(self.recipe, self.prior)

    def _shares(self) -> Tensor:
        """Return how much of what the voltages say each statement gets: (S,)."""
        how, codes = self.recipe.image, self.text.corpus.codes
        return torch.tensor([how.weights_of_voltages.get(code, how.voltages) for code in codes])

    @property
    def _joined(self) -> tuple[str, ...]:
        """What the key of the matcher says of how the members are joined, where it is not usual.

        By the joined encoder its hard negatives are drawn, and its file holds that encoder too.
        """
        how, usual = self.recipe.image, ImageRecipe()
        names = ("voltages", "voltages_of", "prototypes")
        changed = [name for name in names if getattr(how, name) != getattr(usual, name)]
        return tuple(f"{name} {getattr(how, name)}" for name in changed)

    @property
    def _second(self) -> tuple[bytes, ...]:
        """What a second image adds to the key of a stage."""
        if self.recipe.second_image is None:
            return ()
        return (msgspec.json.encode((self.recipe.second_image.patch, self.recipe.specs[1])),)

    def _stage(
        self, name: str, key: str, model: nn.Module, build: Callable[[], nn.Module], plan: Plan,
        seed: int, mix: float | None = None,
    ) -> None:  # fmt: skip
        how = self.recipe.image.augmentation
        if mix is not None:
            how = msgspec.structs.replace(how, mix=mix)
        prepare = partial(prepare_images, self.views, how)
        self._run(name, key, model, build, plan, seed, prepare)

    def _run(
        self, name: str, key: str, model: nn.Module, build: Callable[[], nn.Module], plan: Plan,
        seed: int, prepare: Callable[[Batch], Prepared],
    ) -> None:  # fmt: skip
        count = len(self.views[0])
        stage = Stage(
            f"{self.prefix}{name}", key, model, build, plan, seed, prepare, count,
            one_shape=not isinstance(model, Matcher),
        )  # fmt: skip
        run_stage(self.context, stage)


def member_seed(seed: int, place: int) -> int:
    """Return the seed of a member of the encoder with `seed`; no two encoders share a member."""
    return 1000 * seed + place


def teacher_seed(seed: int, offset: int) -> int:
    """Return the seed of a teacher of the member with `seed`; no two members share a teacher."""
    return 1_000_000 + 100 * seed + offset
