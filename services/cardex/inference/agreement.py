"""What is added to the similarity of a report: how its statements agree, and how common it is."""

from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import Embedding


class Agreement(msgspec.Struct, frozen=True):
    """Where a report's vector has its statements, and what is added to its similarity in a ranking.

    Attributes:
        weight: what a full agreement adds to the cosine similarity.
        report_length: squared length of a report's vector before it was made a unit vector.
        axes: axis of the vector by SCP code; it holds the probability that the report makes the
            statement, divided by the vector's length.
        filling: axis that only fills a report's vector up to the length of all others, so that it
            is the larger the less the report says; None where there is no such axis.
        whole: axis that holds whether a text is a whole report (1) or the name of a statement (0),
            divided by the vector's length; it is there where `filling` is.
        commonness_weight: what is added for each natural logarithm of the number of records that
            bear the text. It decides among texts that fit about as well: the true one is more
            likely the one that is written more often.
    """

    weight: Annotated[float, msgspec.Meta(ge=0)]
    report_length: Annotated[float, msgspec.Meta(gt=0)]
    axes: Annotated[dict[str, Annotated[int, msgspec.Meta(ge=0)]], msgspec.Meta(min_length=1)]
    filling: Annotated[int, msgspec.Meta(ge=0)] | None = None
    whole: Annotated[int, msgspec.Meta(ge=0)] | None = None
    commonness_weight: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0


def stated(reports: Embedding, agreement: Agreement, codes: list[str]) -> NDArray[np.float32]:
    """Return the probability that each report makes each statement.

    Args:
        reports: (n, E) unit vectors.
        agreement: of the model version that embedded them.
        codes: SCP codes; one without an axis has probability 0.

    Returns:
        (n, codes) float32.
    """
    axes = np.array([agreement.axes.get(code, -1) for code in codes])
    found: NDArray[np.float32] = reports[:, axes] * np.float32(agreement.report_length**0.5)
    found[:, axes < 0] = 0.0
    np.clip(found, 0.0, 1.0, out=found)
    return found


def without_filling(texts: Embedding, agreement: Agreement) -> Embedding:
    """Return the vectors of texts that are searched for, names less their filling: (n, E).

    With it, reports that say little would be near every name. The text of a whole report keeps it,
    and so is nearest to itself. Where nothing else is left, as where there are no such axes, a
    vector stays as it is.
    """
    if agreement.filling is None or agreement.whole is None:
        return texts
    found = texts.copy()
    whole = found[:, agreement.whole] * np.float32(agreement.report_length**0.5)
    found[:, agreement.filling] *= whole.clip(0.0, 1.0)
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    return np.where(lengths > 0.0, found / np.maximum(lengths, 1e-12), texts)


def expected_jaccard(
    own: NDArray[np.floating], others: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return about what Jaccard index an ECG's statements and each report's are expected to have.

    It is the expected number of statements that both have over the expected number that either has,
    each statement for itself.

    Args:
        own: (S,) probabilities of an ECG's statements, or (B, S) of several.
        others: (n, S) probabilities of the reports' statements.

    Returns:
        (n,) or (B, n), 0 to 1.
    """
    both = own @ others.T
    either = own.sum(axis=-1)[..., None] + others.sum(axis=1) - both
    return np.asarray(both / np.maximum(either, 1e-6), dtype=np.float64)


def added_by_commonness(records: NDArray[np.floating], agreement: Agreement) -> NDArray[np.float64]:
    """Return what is added to the similarity of texts that so many records bear: (n,) each."""
    counts = np.maximum(records, 1.0).astype(np.float64)
    return np.asarray(agreement.commonness_weight * np.log(counts))
