"""An experiment: everything that decides what is trained, beside the data. One TOML file each."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from cardex.domain.errors import ConfigurationError
from cardex.signals.image_spec import ImageSpec
from cardex.training.models import PRESETS, TowerConfig
from cardex.training.trainer import Plan


class Losses(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights of the image stage's losses; 0 leaves one out.

    Attributes:
        statements: SCP statements, binary cross-entropy.
        words: the report's frequent words and pairs of words, binary cross-entropy; only in training.
        contrast: ECG to report among all training reports (LiT, Zhai 2022).
        reverse: report to ECG among a queue of momentum embeddings (P1's ITC).
        soft: share of the contrast's target that the momentum encoder gives (ALBEF's alpha).
        label_aware: share that goes to reports with the same statements.
        transport: optimal transport between image and report tokens (P2).
        matching: match or no match of the multimodal encoder, with hard negatives (P1's ITM).
        language: words masked in the report, from the image and the rest (P1's MLM).
    """

    statements: float = 1.0
    words: float = 0.0
    contrast: float = 0.02
    reverse: float = 0.0
    soft: float = 0.0
    label_aware: float = 0.0
    transport: float = 0.0
    matching: float = 0.0
    language: float = 0.0


class Augmentation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is done to a training ECG, within what physiology and electrodes allow.

    Attributes:
        shift_s: largest shift in time, seconds.
        warp: largest change of the heart's pace, as a share.
        noise: standard deviation of the noise, in the lead's own.
        wander: amplitude of a slow baseline, in the lead's standard deviations.
        drop: share of leads that are silent.
        mix: alpha of mixup's Beta distribution (Zhang 2018); 0 mixes nothing.
        mix_share: share of the batches that are mixed.
    """

    shift_s: float = 1.0
    warp: float = 0.0
    noise: float = 0.05
    wander: float = 0.0
    drop: float = 0.05
    mix: float = 0.0
    mix_share: float = 0.5


class TextRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The report encoder.

    Attributes:
        tower: its size.
        plan: how it trains.
        pretrained: name or folder of a Hugging Face encoder to start from, in place of all of `tower` but
            its embedding; it wants a lower rate (2e-5) and brings its own vocabulary.
        vocabulary: WordPiece pieces.
        statements: weight of the statements' loss beside the wording's.
        clean: whether reports are read as `clean_report` leaves them.
        seed: of its random choices; experiments with other image encoders share one report encoder.
    """

    tower: TowerConfig = TowerConfig(width=192, depth=3, heads=6)
    plan: Plan = Plan(epochs=20, batch=64)
    pretrained: str = ""
    vocabulary: int = 3000
    statements: float = 2.0
    clean: bool = False
    seed: int = 0


class ImageRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The image encoder.

    Attributes:
        preset: name of its size in `models.PRESETS`; `tower` gives any other.
        tower: its size, where no preset is named.
        dropout: of either.
        patch: side of a patch in pixels; 0 takes a raster by its convolutional stem.
        plan: how it trains.
        losses: what it learns by.
        augmentation: of its ECGs.
        teachers: encoders trained so first, with other seeds, of which it then learns the mean; 0 for
            none (born-again ensembles, Furlanello 2018).
        study: how it trains with teachers.
    """

    preset: str = "cpu"
    tower: TowerConfig | None = None
    dropout: float = 0.1
    patch: int = 0
    plan: Plan = Plan(epochs=25)
    losses: Losses = Losses()
    augmentation: Augmentation = Augmentation()
    teachers: int = 0
    study: Plan = Plan(epochs=40)

    @property
    def size(self) -> TowerConfig:
        """The tower's size."""
        base = self.tower or PRESETS[self.preset]
        return msgspec.structs.replace(base, dropout=self.dropout)


class MatcherRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The matcher, trained over a locked image encoder.

    Attributes:
        plan: how it trains.
        language: weight of the masked words' loss beside the matching's.
    """

    plan: Plan = Plan(epochs=10)
    language: float = 0.1


def _raster() -> dict[str, Any]:
    return {"layout": "raster", "scaling": "deviation"}


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All stages.

    Attributes:
        image_spec: fields of the `ImageSpec` that differ from its defaults.
        text: the report encoder.
        image: the image encoder.
        matcher: the matcher; None for none.
        seed: of every random choice after the report encoder's.
    """

    image_spec: dict[str, Any] = msgspec.field(default_factory=_raster)
    text: TextRecipe = TextRecipe()
    image: ImageRecipe = ImageRecipe()
    matcher: MatcherRecipe | None = None
    seed: int = 0

    @property
    def spec(self) -> ImageSpec:
        """The image."""
        return ImageSpec.from_fields(self.image_spec)

    def check(self) -> None:
        """Check what no single field's type can say.

        Raises:
            ConfigurationError: naming the field.
        """
        image = self.image
        if image.tower is None and image.preset not in PRESETS:
            raise ConfigurationError(f"image.preset {image.preset!r}: must be {', '.join(PRESETS)}")
        try:
            dtype = self.spec.dtype
        except ValueError as error:
            raise ConfigurationError(f"image_spec: {error}") from error
        if dtype != "uint8":
            raise ConfigurationError(
                "image_spec.dtype: must be uint8, which is what the encoders take"
            )
        if self.text.pretrained and (fused := self._fused):
            raise ConfigurationError(
                f"text.pretrained: {', '.join(fused)} would take the blocks of the built-in report"
                " encoder; leave out one or the other"
            )

    @property
    def _fused(self) -> list[str]:
        """What reads reports together with images."""
        losses = [
            f"image.losses.{name}"
            for name in ("transport", "matching", "language")
            if getattr(self.image.losses, name)
        ]
        return losses + ["matcher"] * (self.matcher is not None)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe; a file may name another as its `base` and say only what differs.

    Raises:
        ConfigurationError: naming the file and the field.
    """
    try:
        recipe = msgspec.convert(_fields(path), Recipe)
        recipe.check()
    except (
        OSError,
        ValueError,
        ConfigurationError,
    ) as error:  # msgspec's and tomllib's are ValueErrors
        raise ConfigurationError(f"{path}: {error}") from error
    return recipe


def _fields(path: Path) -> dict[str, Any]:
    found = tomllib.loads(path.read_text())
    base = found.pop("base", None)
    return _merged(_fields(path.parent / base), found) if base else found


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    both = base | own
    for key in base.keys() & own.keys():
        if isinstance(base[key], dict) and isinstance(own[key], dict) and key != "image_spec":
            both[key] = _merged(base[key], own[key])
    return both
