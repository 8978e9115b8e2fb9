"""Cases for tests, and what an index keeps of them."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from cardex.domain.cases import Case, FiledCase
from cardex.domain.trace import Trace
from cardex.reports.records import report_of_case
from cardex.stores.case_index import CaseRow
from tests.helpers.embeddings import unit
from tests.helpers.fake_model import DIMENSION


def a_case(case_id: str, text: str = "sinus rhythm", **fields: Any) -> Case:
    """Return a case in a language that is known."""
    return Case(case_id, text, **{"language": "en", **fields})


def filed(case: Case, submitted: float = 1.0) -> FiledCase:
    """Return a case as the index keeps it."""
    return FiledCase(replace(case, text=""), report_of_case(case), submitted)


def row_of(
    case: Case,
    embedding: np.ndarray | None = None,
    trace: Trace | None = None,
    submitted: float = 1.0,
) -> CaseRow:
    """Return a case on its way into the index; it has an ECG where it has an embedding."""
    told = filed(replace(case, has_ecg=embedding is not None), submitted)
    return CaseRow(told, embedding, trace)


def with_text(
    cases: Iterable[Case],
    embeddings: Iterable[np.ndarray | None] = (),
    submitted: float = 1.0,
) -> list[tuple[Case, CaseRow]]:
    """Return cases as a writer takes them; without embeddings they have no ECG."""
    given = list(cases)
    vectors = list(embeddings) or [None] * len(given)
    return [
        (case, row_of(case, one, submitted=submitted))
        for case, one in zip(given, vectors, strict=True)
    ]


def vectors(count: int, seed: int = 0) -> np.ndarray:
    """Return unit vectors at random: (count, DIMENSION) float32."""
    return unit(np.random.default_rng(seed).standard_normal((count, DIMENSION)))
