"""Terms of reports: wording vectors, and the auxiliary target of the image encoder."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.preprocessing import normalize

MIN_TEXTS = 5
FEW_TEXTS = 500
"""In a corpus of fewer texts, terms of a single text count too."""
MIN_SHARE = 1 / 300
DENSE = 500
"""A matrix of at most so many texts or terms is small."""
RANK = 1e-6
"""Share of the largest singular value from which on a smaller one is rounding."""
TERMS = {"token_pattern": r"\w+", "ngram_range": (1, 2)}
"""A term is a lower-case word, or two words that follow each other."""


def wording(texts: Sequence[str], dimensions: int) -> NDArray[np.float32]:
    """Return (texts, dimensions) unit vectors: TF-IDF of the terms, reduced by SVD.

    Each axis is weighted by the square root of its singular value. Weighted by the value itself,
    the commonest phrases would hide all others; unweighted, rare axes would count like common ones.
    """
    minimum = MIN_TEXTS if len(texts) >= FEW_TEXTS else 1
    weights = TfidfVectorizer(**TERMS, min_df=minimum, sublinear_tf=True, smooth_idf=False)
    weights.fit(texts)
    weights.idf_ = weights.idf_ - 1.0  # ln(n / df): a term that all texts have weighs nothing
    matrix = weights.transform(texts)
    scaled, values = _decomposed(matrix, min(dimensions, min(matrix.shape) - 1))
    vectors = np.zeros((len(texts), dimensions), dtype=np.float32)
    # Axes whose value is zero but for rounding hold noise alone.
    scaled[:, values <= RANK * values[0]] = 0.0
    vectors[:, : len(values)] = normalize(scaled / np.sqrt(np.maximum(values, 1e-6)))
    return vectors


def _decomposed(matrix: csr_matrix, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return U * S, (texts, count), and the singular values, (count,), the largest first.

    A small matrix, which may have fewer ranks than are asked for, is decomposed whole: ARPACK then
    goes on from random vectors, so that no two runs are alike.
    """
    if min(matrix.shape) <= DENSE:
        left, values, _ = np.linalg.svd(matrix.toarray(), full_matrices=False)
        return left[:, :count] * values[:count], values[:count]
    reduction = TruncatedSVD(count, algorithm="arpack", random_state=0)
    return reduction.fit_transform(matrix), reduction.singular_values_


def frequent_terms(texts: Sequence[str]) -> list[str]:
    """Return the terms that at least `MIN_SHARE` of the records' texts have, in order."""
    table = CountVectorizer(**TERMS, binary=True)
    records = np.asarray(table.fit_transform(texts).sum(axis=0)).ravel()  # (terms,)
    frequent = records >= math.ceil(max(MIN_TEXTS, len(texts) * MIN_SHARE))
    return [str(term) for term in table.get_feature_names_out()[frequent]]


def term_matrix(texts: Sequence[str], known: Sequence[str]) -> NDArray[np.float32]:
    """Return (texts, terms): 1 where a text has a known term, else 0."""
    if not known:
        return np.zeros((len(texts), 0), dtype=np.float32)
    table = CountVectorizer(**TERMS, vocabulary=list(known), binary=True, dtype=np.float32)
    return np.asarray(table.transform(texts).toarray())
