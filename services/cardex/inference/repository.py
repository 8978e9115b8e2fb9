"""The model repository on disk: names of the models, and the files of a version."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cardex.domain.errors import ConfigurationError
from cardex.signals.image_spec import ImageSpec

IMAGE_ENCODER = "ecg_image_encoder"
STAT_INSTANCE = "ecg_image_encoder_stat"
TEXT_ENCODER = "report_text_encoder"
MATCHER = "ecg_report_matcher"
MODELS = (IMAGE_ENCODER, STAT_INSTANCE, TEXT_ENCODER, MATCHER)
"""`STAT_INSTANCE` is a second copy of the image encoder, which only STAT requests use."""
GRAPHS = (IMAGE_ENCODER, TEXT_ENCODER, MATCHER)
"""The models with a graph of their own; the STAT instance shares the image encoder's."""
GRAPH, PLAN = "model.onnx", "model.plan"


def parameter_key(triton_version: int, name: str) -> str:
    """Return the key of a version's parameter in a configuration, as in `1.model_version`."""
    return f"{triton_version}.{name}"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of all models in a model repository.

    Attributes:
        repository: the folder that has a folder for each model.
        triton_version: version number in Triton; names the version's folder in each model's folder.
    """

    repository: Path
    triton_version: int

    def folder(self, model: str) -> Path:
        """Return the folder of one model's version."""
        return self.repository / model / str(self.triton_version)

    def graph(self, model: str) -> Path:
        """Return the ONNX graph of one model."""
        return self.folder(model) / GRAPH

    @property
    def tokenizer(self) -> Path:
        """File of the reports' WordPiece tokenizer."""
        return self.folder(TEXT_ENCODER) / "tokenizer.json"

    @property
    def statements(self) -> Path:
        """File of the calibrated statements."""
        return self.folder(TEXT_ENCODER) / "statements.json"

    @property
    def novelty(self) -> Path:
        """File that tells which ECGs are unlike those that the model was trained on."""
        return self.folder(IMAGE_ENCODER) / "novelty.json"

    @property
    def card(self) -> Path:
        """File of the model card that programs read."""
        return self.folder(IMAGE_ENCODER) / "model_card.json"

    @property
    def page(self) -> Path:
        """File of the model card that people read."""
        return self.folder(IMAGE_ENCODER) / "MODEL_CARD.md"

    @property
    def has_matcher(self) -> bool:
        """Whether the version has a matcher."""
        return self.graph(MATCHER).is_file()

    def version(self) -> str:
        """Return the model version, from the card; raises ConfigurationError."""
        return str(self._field("model_version"))

    def spec(self) -> ImageSpec:
        """Return the spec of the encoder's image, from the card; raises ConfigurationError."""
        try:
            return ImageSpec.from_fields(self._field("recipe")["spec"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._unreadable(error) from error

    def _field(self, name: str) -> Any:  # noqa: ANN401  # JSON
        try:
            return json.loads(self.card.read_bytes())[name]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> ConfigurationError:
        return ConfigurationError(
            f"{self.card} tells no model ({type(error).__name__}): name a model repository that"
            " `cardex train` wrote, or check the clone out again"
        )


def model_versions(repository: Path) -> list[ModelVersion]:
    """Return the versions for which both encoders have a graph, the oldest first."""
    found = [
        {path.parent.name for path in (repository / model).glob(f"*/{GRAPH}")}
        for model in (IMAGE_ENCODER, TEXT_ENCODER)
    ]
    triton_versions = sorted(int(name) for name in set.intersection(*found) if name.isdecimal())
    return [ModelVersion(repository, triton_version) for triton_version in triton_versions]


def newest(repository: Path) -> ModelVersion:
    """Return the newest version of a repository.

    Raises:
        ConfigurationError: if the repository has no version.
    """
    found = model_versions(repository)
    if not found:
        raise ConfigurationError(
            f"{repository} holds no version of {IMAGE_ENCODER} and {TEXT_ENCODER}: name a model"
            " repository that `cardex train` wrote, or set CARDEX_MODEL_REPOSITORY"
        )
    return found[-1]
