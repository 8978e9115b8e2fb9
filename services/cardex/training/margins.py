"""Fits what is computed, and not trained, of all training ECGs: margins, and voltages.

Margins are what an ECG's scores, and a report's, have in common with the whole training set.

Formulas: `cardex.training.space`. The populations, thousands of reports and of ECGs, are stood for
by the centres of clusters with their shares, so that both graphs carry a small table each.
"""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from cardex.evaluation.ecgs import Ecgs
from cardex.evaluation.embeddings import images_of
from cardex.signals.image_spec import ImageSpec
from cardex.training.distributed import DistributedContext
from cardex.training.image_encoder import ImageEncoder
from cardex.training.space import Margin, content_of_ecgs
from cardex.training.text_encoder import ReportEncoder
from cardex.training.text_stage import Reports
from cardex.training.voltages import extremes


def fit_margins(
    image: ImageEncoder,
    text: Reports,
    ecgs: Ecgs,
    specs: Sequence[ImageSpec],
    distributed: DistributedContext,
) -> ReportEncoder:
    """Fit the partition of `image`, in place, and the popularity of a copy of the report encoder.

    Args:
        image: the trained image encoder.
        text: the report encoder with the training reports.
        ecgs: the training ECGs.
        specs: the images that the encoder sees of each ECG.
        distributed: device that computes.

    Returns:
        The report encoder that belongs to `image`. `text` is not changed, since other image
        encoders are fitted to it too.
    """
    _set(image.partition, text.bank_content)
    contents = read_ecgs(image, ecgs, specs, distributed)
    encoder = copy.deepcopy(text.encoder)
    _set(encoder.popularity, contents, -image.partition(contents))
    encoder.usual.copy_(image.offset)
    return encoder.eval()


@torch.no_grad()
def fit_voltages(
    image: ImageEncoder, ecgs: Ecgs, statements: Tensor, shares: Tensor, spec: ImageSpec
) -> None:
    """Fit the voltages' log-odds, in place, where `image` has them.

    Args:
        image: the image encoder.
        ecgs: the training ECGs; those whose unit is lost are left out.
        statements: (ECGs, S), over 0 for those that an ECG has.
        shares: (S,) how much of the voltages' log-odds each statement gets.
        spec: the image that the encoder sees.
    """
    known = [row for row, calibrated in enumerate(ecgs.calibrated) if calibrated]
    if image.voltages is None or not known:
        return
    found = [
        extremes(image.millivolts(torch.from_numpy(pixels)))
        for pixels in images_of(ecgs.rows(known), [spec])
    ]
    image.voltages.fit(torch.cat(found), statements[known], shares)


@torch.no_grad()
def read_ecgs(
    image: ImageEncoder, ecgs: Ecgs, specs: Sequence[ImageSpec], distributed: DistributedContext
) -> Tensor:
    """Return the contents of the ECGs' embeddings, as the service reads them: (ECGs, S + W)."""
    image.to(distributed.device).eval()
    found = []
    for pixels in images_of(ecgs, specs):
        log_odds, wording = image.read(distributed.put(torch.from_numpy(pixels)))
        found.append(content_of_ecgs(log_odds - image.offset, wording).cpu())
    image.cpu()
    return torch.cat(found)


def _set(margin: Margin, population: Tensor, offsets: Tensor | None = None) -> None:
    """Let a margin's prototypes stand for a population.

    Args:
        margin: the margin, of which the number of prototypes stays.
        population: (N, S + W) contents.
        offsets: (N,) added to the scores with each; a prototype has the log of the mean exponential
            of its members'. None for 0.
    """
    count = len(margin.offsets)
    if not count:
        return
    data = population.double().numpy()
    clusters = min(count, len(np.unique(data.round(4), axis=0)))
    found = KMeans(clusters, n_init=1, random_state=0).fit(data)
    labels = torch.from_numpy(found.labels_.astype(np.int64))
    added = torch.zeros(len(data)) if offsets is None else offsets
    weights = torch.full((count,), -torch.inf)
    for place in range(clusters):
        weights[place] = added[labels == place].logsumexp(dim=0) - np.log(len(data))
    centres = torch.zeros_like(margin.prototypes)
    centres[:clusters] = torch.from_numpy(found.cluster_centers_).float()
    margin.prototypes.copy_(centres)
    margin.offsets.copy_(weights.clamp(min=-1e4))
