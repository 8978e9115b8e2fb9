"""A report's words and pairs of words: what its wording vector and the image's auxiliary target are made of."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import svds

MIN_TEXTS = 5
FEW_TEXTS = 500
"""A corpus of fewer keeps every term."""
MIN_SHARE = 1 / 300
_WORD = re.compile(r"\w+")


def terms(text: str) -> list[str]:
    """Return the words of a text and its pairs of neighbours."""
    words = _WORD.findall(text.lower())
    return words + [f"{first} {second}" for first, second in pairwise(words)]


def wording(texts: Sequence[str], dimensions: int) -> NDArray[np.float32]:
    """Return (texts, dimensions) unit vectors: TF-IDF of the terms, reduced by SVD.

    Of each singular value the square root is left in, between the values themselves, in which the
    commonest phrases drown the rest, and none at all.
    """
    known = [terms(text) for text in texts]
    frequency = Counter(term for own in known for term in set(own))
    minimum = MIN_TEXTS if len(texts) >= FEW_TEXTS else 1
    kept = sorted(term for term, count in frequency.items() if count >= minimum)
    column = {term: place for place, term in enumerate(kept)}
    rows, columns, values = [], [], []
    for row, own in enumerate(known):
        for term, count in Counter(own).items():
            if term in column:
                rows.append(row)
                columns.append(column[term])
                rarity = np.log(len(texts) / frequency[term])
                values.append((1.0 + np.log(count)) * rarity)
    shape = (len(texts), len(column))
    matrix = sparse.coo_array((values, (rows, columns)), shape=shape).tocsr()
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    matrix = sparse.diags_array(1.0 / np.maximum(lengths, 1e-9)) @ matrix
    count = min(dimensions, min(shape) - 1)
    left, singular, _ = svds(matrix, k=count, random_state=0)
    vectors = np.zeros((len(texts), dimensions), dtype=np.float32)
    vectors[:, :count] = left * np.sqrt(singular)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-6), dtype=np.float32)


def frequent_terms(texts: Sequence[str]) -> list[str]:
    """Return the terms that at least `MIN_SHARE` of the records' texts have, in order."""
    minimum = max(MIN_TEXTS, len(texts) * MIN_SHARE)
    counts = Counter(term for text in texts for term in set(terms(text)))
    return sorted(term for term, count in counts.items() if count >= minimum)


def term_matrix(texts: Sequence[str], known: Sequence[str]) -> NDArray[np.float32]:
    """Return (texts, terms) of 0 and 1."""
    column = {term: place for place, term in enumerate(known)}
    matrix = np.zeros((len(texts), len(known)), dtype=np.float32)
    for row, text in enumerate(texts):
        for term in set(terms(text)):
            if term in column:
                matrix[row, column[term]] = 1.0
    return matrix
