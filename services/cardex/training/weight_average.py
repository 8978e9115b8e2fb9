"""The average of a model's weights over the last part of its training."""

import torch
from torch import Tensor, nn


class WeightAverage:
    """The exponential moving average of a model's weights (Polyak and Juditsky 1992).

    It is over all that a checkpoint holds of the model, the running statistics of batch norms
    among it, since they belong to the weights that they were computed with.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Begin with the model's weights as they are.

        Args:
            model: the model, which is trained in place.
            decay: share of the average that a step leaves, from 0 to 1. The first steps leave less,
                so that the weights before the training soon count for nothing.
        """
        self._decay = decay
        self._weights = _floats(model)
        self._mean = [each.clone() for each in self._weights]

    def update(self, step: int) -> None:
        """Take in the model's weights after a step, counted from 0."""
        left = min(self._decay, (1 + step) / (10 + step))
        for mean, now in zip(self._mean, self._weights, strict=True):
            mean.lerp_(now, 1 - left)

    def apply(self) -> None:
        """Give the model the average in place of its weights."""
        for mean, now in zip(self._mean, self._weights, strict=True):
            now.copy_(mean)

    def state(self) -> list[Tensor]:
        """Return what a checkpoint keeps of it."""
        return self._mean

    def restore(self, state: list[Tensor]) -> None:
        """Take up what a checkpoint kept."""
        for mean, kept in zip(self._mean, state, strict=True):
            mean.copy_(kept)


def _floats(model: nn.Module) -> list[Tensor]:
    """Return the model's own tensors, which change with it; counters are left out."""
    with torch.no_grad():
        return [each for each in model.state_dict().values() if each.is_floating_point()]
