"""Compares the answers of a version's graphs in reduced precision with those in fp32."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import Image
from cardex.domain.errors import InvalidReport
from cardex.evaluation.dataset import Dataset
from cardex.evaluation.ecgs import Ecgs
from cardex.evaluation.embeddings import images_of
from cardex.evaluation.evaluate import gallery_of, task_of
from cardex.inference.novelty import load_novelty
from cardex.inference.repository import IMAGE_ENCODER, MATCHER, TEXT_ENCODER, ModelVersion
from cardex.inference.tokenizer import ReportTokenizer
from cardex.models.agreement import BEST, answers, cosines, overlap
from cardex.models.precision import Inputs, Precision, convert

BATCH = 32
EXAMPLE_FOLD = 8
EXAMPLES = 256
MATCHED = 32
CANDIDATES = 32
AIM = 0.99
"""Share of the first ten reports that a reduced graph must still find."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Real ECGs and reports, as the graphs take them.

    Attributes:
        images: (ECGs, H, W, C) uint8.
        tokens: (reports, length) int32.
    """

    images: Image
    tokens: NDArray[np.int32]

    def calls(self, model: str) -> Iterator[Inputs]:
        """Yield one graph's calls with the whole sample; the matcher's with its first rows only."""
        if model == MATCHER:
            for image in self.images[:MATCHED]:
                yield {"image": image[None], "token_ids": self.tokens[None, :CANDIDATES]}
            return
        name, rows = (
            ("image", self.images) if model == IMAGE_ENCODER else ("token_ids", self.tokens)
        )
        for first in range(0, len(rows), BATCH):
            yield {name: rows[first : first + BATCH]}


def sample_of(release: ModelVersion, dataset: Dataset, fold: int) -> Sample:
    """Return a fold's ECGs and the distinct reports of its gallery.

    Raises:
        InvalidReport: if the fold has no ECG, or the gallery so few reports that all are among the
            first.
    """
    task = task_of(dataset, fold)
    texts = gallery_of(task).texts
    if len(texts) <= BEST:
        raise InvalidReport(
            f"fold {fold} has a gallery of {len(texts)} distinct reports, whose first {BEST} are"
            f" the same in any precision: give data with at least {BEST + 1} there"
        )
    return _sample(release, task.ecgs, texts)


def examples_of(release: ModelVersion, dataset: Dataset) -> Sample:
    """Return ECGs and reports to calibrate int8 on, of a fold that no figure is measured on."""
    ecgs = dataset.ecgs.of_folds([EXAMPLE_FOLD])
    if not ecgs.records:
        raise InvalidReport(f"fold {EXAMPLE_FOLD}, which calibrates int8, has no waveform")
    texts = sorted({record.text for record in dataset.records if record.fold == EXAMPLE_FOLD})
    return _sample(
        release, ecgs.rows(range(min(EXAMPLES, len(ecgs.records)))), texts[: 2 * EXAMPLES]
    )


def compare(
    release: ModelVersion, precision: Precision, sample: Sample, examples: Sample | None = None
) -> dict[str, Any]:
    """Return the figures of `differences` between fp32 and another precision, on the CPU.

    And the share of the ECGs at which OUT_OF_DISTRIBUTION comes or goes, where the version has it.

    Args:
        release: the version whose graphs are converted.
        precision: of the converted graphs.
        sample: ECGs and reports that both are asked about.
        examples: ECGs and reports that int8 is calibrated on.
    """
    first, second = (
        {
            model: answers(convert(release.graph(model), wanted, _examples(examples, model)), calls)
            for model, calls in _asked(release, sample)
        }
        for wanted in (Precision.FP32, precision)
    )
    figures = differences(first, second)
    novelty = load_novelty(release.novelty)
    if novelty is not None:
        before, after = (novelty.unlike(found[IMAGE_ENCODER]) for found in (first, second))
        figures["OUT_OF_DISTRIBUTION, share of ECGs that change"] = float((before != after).mean())
    return {
        "precision": precision.value,
        "ecgs": len(sample.images),
        "reports": len(sample.tokens),
        **figures,
    }


def differences(
    reference: Mapping[str, NDArray[np.float32]], other: Mapping[str, NDArray[np.float32]]
) -> dict[str, float]:
    """Compare two runtimes' answers to the same sample.

    Args:
        reference: by model, embeddings (rows, E); of the matcher, if there is one, match logits.
        other: answers of the same shapes.

    Returns:
        The part of the first ten reports that stay, the smallest cosine between embeddings of the
        same row, and the largest difference of a match logit.
    """
    scores, changed = (found[IMAGE_ENCODER] @ found[TEXT_ENCODER].T for found in (reference, other))
    figures = {"top-10 overlap": overlap(scores, changed)}
    for model, name in ((IMAGE_ENCODER, "image encoder"), (TEXT_ENCODER, "report encoder")):
        cosine = cosines(reference[model], other[model])
        figures[f"{name}, smallest cosine"] = float(cosine.min())
    if MATCHER in reference:
        difference = np.abs(reference[MATCHER] - other[MATCHER])
        figures["matcher, largest difference of match logits"] = float(difference.max())
    return figures


def _asked(release: ModelVersion, sample: Sample) -> Iterator[tuple[str, Iterator[Inputs]]]:
    models = (IMAGE_ENCODER, TEXT_ENCODER, *((MATCHER,) if release.has_matcher else ()))
    return ((model, sample.calls(model)) for model in models)


def _examples(examples: Sample | None, model: str) -> Iterator[Inputs]:
    return examples.calls(model) if examples else iter(())


def _sample(release: ModelVersion, ecgs: Ecgs, texts: Sequence[str]) -> Sample:
    images = np.concatenate(list(images_of(ecgs, [release.spec()])))
    return Sample(images, ReportTokenizer(release.tokenizer).encode(texts))
