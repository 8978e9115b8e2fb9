"""Embeds with trained models before they are exported, for an evaluation."""

from collections.abc import Sequence

import numpy as np
import torch

from cardex.domain.ecg import Embedding, Image
from cardex.evaluation.embedder import finite
from cardex.reports.normalise import clean_report
from cardex.training.distributed import DistributedContext
from cardex.training.run import Trained
from cardex.training.text import read_texts
from cardex.training.tokens import token_ids


class TorchEmbedder:
    """Implements `evaluation.embedder.Embedder` with the encoders of `Trained`.

    Attributes:
        specs: the images that the image encoder takes of each ECG.
    """

    def __init__(self, trained: Trained, distributed: DistributedContext) -> None:
        """Move the image encoder of `trained` to the device of `distributed`."""
        self.specs = trained.recipe.specs
        self._trained, self._distributed = trained, distributed
        self._image = trained.image.to(distributed.device).eval()

    @torch.inference_mode()
    def images(self, images: Image) -> Embedding:
        """Embed (B, H, W, C) uint8 images, or (B, pixels) of two side by side: (B, E) float32."""
        found = self._image(torch.from_numpy(images).to(self._distributed.device))
        return finite(np.asarray(found.cpu().numpy(), dtype=np.float32))

    def texts(self, texts: Sequence[str]) -> Embedding:
        """Embed reports: (B, E) float32."""
        if self._trained.recipe.text.clean:
            texts = [clean_report(text) for text in texts]
        ids = token_ids(self._trained.tokenizer, texts)
        embeddings, _, _ = read_texts(self._trained.text, ids, self._distributed)
        return finite(np.asarray(embeddings.numpy()))
