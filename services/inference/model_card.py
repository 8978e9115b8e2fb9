"""The model card: what a model repository says of its encoders, readable without a server."""

import json
from pathlib import Path

from services.domain.errors import ConfigurationError
from services.signals.spec import ImageSpec

MODEL_CARD = "model_card.json"


def served_spec(repository: Path) -> ImageSpec:
    """Return the specification of the model in a repository, from its model card.

    Raises:
        ConfigurationError: if there is no model card, or one of another release.
    """
    card = repository / MODEL_CARD
    try:
        return ImageSpec.from_fields(json.loads(card.read_bytes())["recipe"]["spec"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{card} tells no image specification ({type(error).__name__}): export the model anew,"
            " or name one with --spec"
        ) from error
