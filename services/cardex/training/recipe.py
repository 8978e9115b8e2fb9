"""Recipes: all settings of a training besides the data, one TOML file each."""

import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec

from cardex.domain.errors import ConfigurationError
from cardex.signals.image_spec import ImageSpec
from cardex.training.blocks import PRESETS, TowerConfig
from cardex.training.trainer import Plan


class Losses(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights of the image stage's losses; 0 leaves one out.

    Attributes:
        statements: SCP statements, binary cross-entropy.
        words: frequent words and word pairs of the report, binary cross-entropy; an auxiliary
            target that only training has.
        contrast: contrast of an ECG with all training reports by the wording (LiT, Zhai 2022).
        score: contrast of an ECG with all training reports by the whole score, statements and
            wording together, as it is used in retrieval.
        reverse: contrast of a report with the ECGs of the batch by the whole score.
        soft: share of the contrast's target that the momentum encoder gives (ALBEF's alpha).
        label_aware: share of the contrast's target that goes to reports with the same statements.
        transport: optimal transport between image and report tokens (Qiu, EACL 2023).
        matching: match or no match of the multimodal encoder, with hard negatives (ITM, Qiu 2023).
        language: prediction of masked words from the image and the other words (MLM, Qiu 2023).
    """

    statements: float = 1.0
    words: float = 0.0
    contrast: float = 0.02
    score: float = 0.0
    reverse: float = 0.0
    soft: float = 0.0
    label_aware: float = 0.0
    transport: float = 0.0
    matching: float = 0.0
    language: float = 0.0


class Augmentation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Random changes of a training ECG, in the range of real recordings.

    Attributes:
        shift_s: largest shift in time, seconds; a single beat is not shifted.
        warp: largest relative change of the time scale, and so of the heart rate.
        noise: largest standard deviation of added noise, in standard deviations of the lead.
        wander: largest amplitude of baseline wander, in standard deviations of the lead.
        drop: share of leads that are set to 0.
        filtered: share of the ECGs that pass the band of another cart, 0.05-1 to 15-50 Hz.
        quantised: share of the ECGs that are rounded to steps of 1 to 20 uV.
        printed: share of the ECGs of which 2.5 s of each lead are left, as on a printed page; a
            single beat is shown whole.
        gain: largest relative change of the amplitude.
        uncalibrated: share of the ECGs whose millivolts are hidden from the amplitude channel.
        mix: alpha of mixup's Beta distribution (Zhang 2018); 0 for no mixup.
        mix_share: share of the batches that are mixed.
    """

    shift_s: float = 1.0
    warp: float = 0.0
    noise: float = 0.05
    wander: float = 0.0
    drop: float = 0.05
    filtered: float = 0.0
    quantised: float = 0.0
    printed: float = 0.0
    gain: float = 0.0
    uncalibrated: float = 0.0
    mix: float = 0.0
    mix_share: float = 0.5


class TextRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the report encoder.

    Attributes:
        tower: size of the encoder.
        plan: length and rate of its training.
        pretrained: name or folder of a Hugging Face encoder to start from. It replaces `tower`
            except for the embedding's length, has a vocabulary of its own, and needs a lower
            learning rate (2e-5). "" for none.
        vocabulary: number of WordPiece pieces.
        statements: weight of the statements' loss; the wording's is 1.
        clean: whether reports go through `clean_report` first.
        seed: of the report encoder's random numbers, apart from the recipe's seed, so that
            experiments with other image encoders share one report encoder.
    """

    tower: TowerConfig = TowerConfig(width=192, depth=3, heads=6)
    plan: Plan = Plan(epochs=20, batch=64)
    pretrained: str = ""
    vocabulary: int = 3000
    statements: float = 2.0
    clean: bool = False
    seed: int = 0


Weight = Annotated[float, msgspec.Meta(ge=0)]


class ImageRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the image encoder.

    Attributes:
        preset: name of the encoder's size in `blocks.PRESETS`.
        tower: any other size; if given, `preset` is not used.
        dropout: dropout rate, whichever gives the size.
        patch: side of a patch in pixels; 0 for the convolutional stem of a raster.
        plan: length and rate of a training by the losses.
        losses: weights of the losses.
        augmentation: random changes of the training ECGs.
        pretraining: length and rate of a self-supervised training before it, on pairs of views;
            None for none.
        views: random changes of the ECGs in that pretraining.
        members: number of ViTs whose outputs are averaged; they differ in their seeds.
        voltages: weight of what a logistic regression on the leads' voltages adds to the log-odds
            (`cardex.training.voltages`), where the image has amplitudes.
        voltages_of: weights of single statements in place of `voltages`, by their codes, for those
            that another weight serves better.
        teachers: number of encoders that are trained by the losses with other seeds; the encoder is
            then trained towards their mean (born-again ensembles, Furlanello 2018). 0 for none.
        study: length and rate of the training towards teachers.
        prototypes: number of reports, and of ECGs, that stand for all of them in what is taken off
            the scores (`cardex.training.space`).
    """

    preset: str = "cpu"
    tower: TowerConfig | None = None
    dropout: float = 0.1
    patch: int = 0
    plan: Plan = Plan(epochs=25)
    losses: Losses = Losses()
    augmentation: Augmentation = Augmentation()
    pretraining: Plan | None = None
    views: Augmentation = Augmentation()
    members: Annotated[int, msgspec.Meta(ge=1)] = 1
    voltages: Weight = 0.0
    voltages_of: dict[str, Weight] | msgspec.UnsetType = msgspec.UNSET
    teachers: Annotated[int, msgspec.Meta(ge=0)] = 0
    study: Plan = Plan(epochs=40)
    prototypes: Annotated[int, msgspec.Meta(ge=0)] = 512

    @property
    def size(self) -> TowerConfig:
        """The encoder's size."""
        base = self.tower or PRESETS[self.preset]
        return msgspec.structs.replace(base, dropout=self.dropout)

    @property
    def has_voltages(self) -> bool:
        """Whether a statement gets anything of what the voltages say."""
        return self.voltages > 0 or any(self.weights_of_voltages.values())

    @property
    def weights_of_voltages(self) -> dict[str, float]:
        """`voltages_of`; empty where it is not given."""
        return {} if self.voltages_of is msgspec.UNSET else self.voltages_of


class SecondImage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another image of the same ECG, which the image encoder sees beside the first.

    Attributes:
        image_spec: fields of the `ImageSpec` that differ from its defaults.
        patch: side of a patch in pixels; 0 for the convolutional stem of a raster.
    """

    image_spec: dict[str, Any]
    patch: int = 0


class MatcherRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the matcher, which is trained over an image encoder that is not changed.

    Attributes:
        plan: length and rate of its training.
        language: weight of the masked words' loss; the matching's is 1.
    """

    plan: Plan = Plan(epochs=10)
    language: float = 0.1


def _raster() -> dict[str, Any]:
    return {"layout": "raster", "scaling": "deviation"}


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of all stages.

    Attributes:
        image_spec: fields of the `ImageSpec` that differ from its defaults.
        text: settings of the report encoder.
        image: settings of the image encoder.
        matcher: settings of the matcher; None for no matcher.
        second_image: another image that the image encoder sees too; None for none. Such an encoder
            cannot be exported, since the service draws one image of an ECG.
        seed: of all random numbers after the report encoder's.
    """

    image_spec: dict[str, Any] = msgspec.field(default_factory=_raster)
    text: TextRecipe = TextRecipe()
    image: ImageRecipe = ImageRecipe()
    matcher: MatcherRecipe | None = None
    second_image: SecondImage | None = None
    seed: int = 0

    @property
    def spec(self) -> ImageSpec:
        """The specification of the image."""
        return ImageSpec.from_fields(self.image_spec)

    @property
    def specs(self) -> tuple[ImageSpec, ...]:
        """The specifications of all images of an ECG that the image encoder sees: one or two."""
        if self.second_image is None:
            return (self.spec,)
        return self.spec, ImageSpec.from_fields(self.second_image.image_spec)

    def check(self) -> None:
        """Check values that depend on other fields.

        Raises:
            ConfigurationError: if a value is not possible; the message names the field.
        """
        image = self.image
        if image.tower is None and image.preset not in PRESETS:
            raise ConfigurationError(f"image.preset {image.preset!r}: must be {', '.join(PRESETS)}")
        _check_image("image_spec", self.image_spec)
        if self.second_image is not None:
            _check_image("second_image.image_spec", self.second_image.image_spec)
        if self.text.pretrained and (fused := self._fused):
            raise ConfigurationError(
                f"text.pretrained: {', '.join(fused)} would take the blocks of the built-in report"
                " encoder; leave out one or the other"
            )

    @property
    def _fused(self) -> list[str]:
        """Names of the settings that process reports together with images."""
        losses = [
            f"image.losses.{name}"
            for name in ("transport", "matching", "language")
            if getattr(self.image.losses, name)
        ]
        return losses + ["matcher"] * (self.matcher is not None)


def _check_image(name: str, fields: dict[str, Any]) -> None:
    try:
        spec = ImageSpec.from_fields(fields)
    except ValueError as error:
        raise ConfigurationError(f"{name}: {error}") from error
    if spec.dtype != "uint8":
        raise ConfigurationError(f"{name}.dtype: must be uint8, which is what the encoders take")


def read_recipe(path: Path) -> Recipe:
    """Read a recipe; a file may name another as its `base` and set only what differs.

    An `image_spec` that names its layout is whole, and replaces that of the base.

    Raises:
        ConfigurationError: if the recipe cannot be used; the message names file and field.
    """
    try:
        recipe = msgspec.convert(_fields(path, ()), Recipe)
        recipe.check()
    except (
        OSError,
        ValueError,
        ConfigurationError,
    ) as error:  # msgspec's and tomllib's are ValueErrors
        raise ConfigurationError(f"{path}: {error}") from error
    return recipe


def _fields(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    """Return a file's fields over those of its base; `above` are the files that it is a base of."""
    found = tomllib.loads(path.read_text())
    base = found.pop("base", "")
    if not isinstance(base, str):
        raise ConfigurationError(f"base {base!r}: must be the name of a file, in quotes")
    if not base:
        return found
    below = (path.parent / base).resolve()
    above = (*above, path.resolve())
    if below in above:
        raise ConfigurationError(f"base {base!r}: the file is based on itself; name another")
    return _merged(_fields(below, above), found)


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    both = base | own
    for key in base.keys() & own.keys():
        if isinstance(base[key], dict) and isinstance(own[key], dict):
            whole = key == "image_spec" and "layout" in own[key]
            both[key] = own[key] if whole else _merged(base[key], own[key])
    return both
