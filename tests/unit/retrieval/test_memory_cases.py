from typing import cast

import numpy as np
import pytest

from cardex.domain.cases import FiledCase
from cardex.domain.index import CaseMatch, IndexInfo
from cardex.retrieval.memory_cases import MemoryCases, WholeCases
from cardex.stores.case_index import CaseIndex
from tests.helpers.cases import a_case, row_of, vectors
from tests.helpers.fake_model import DIMENSION
from tests.helpers.fake_store import FakeStore


def whole_of(count: int, *, every: int = 1) -> tuple[WholeCases, list[FiledCase], np.ndarray]:
    """Return cases of seven reports, of which each `every`-th has an ECG, and the embeddings."""
    embeddings = vectors(count)
    rows = [
        row_of(a_case(str(n), f"text {n % 7}"), embeddings[n] if n % every == 0 else None)
        for n in range(count)
    ]
    embeddings[[row.embedding is None for row in rows]] = 0.0
    filed = [row.filed for row in rows]
    return WholeCases.of("g1", filed, embeddings), filed, embeddings


def ids(matches: list[CaseMatch]) -> list[str]:
    return [match.filed.case.case_id for match in matches]


@pytest.mark.parametrize("every", [1, 3])
def test_a_search_finds_what_a_sorted_list_of_all_similarities_has_first(every):
    whole, filed, embeddings = whole_of(200, every=every)
    asked = vectors(6, seed=1)
    with_ecg = [n for n, one in enumerate(filed) if one.case.has_ecg]
    for row, found in zip(asked @ embeddings.T, whole.search(asked, 20), strict=True):
        best = sorted(with_ecg, key=lambda place: -row[place])[:20]
        assert ids(found) == [str(place) for place in best]
        np.testing.assert_allclose([m.similarity for m in found], row[best], rtol=1e-5)


def test_a_case_without_an_ecg_is_never_found_by_one():
    """All that have one point away from the question, so that zeros would be nearer."""
    asked = vectors(1)
    cases = [row_of(a_case("far"), -asked[0]).filed, *(row_of(a_case(c)).filed for c in "abc")]
    embeddings = np.vstack([-asked, np.zeros((3, DIMENSION), np.float32)])
    (found,) = WholeCases.of("g1", cases, embeddings).search(asked, 2)
    assert ids(found) == ["far"]


def test_a_search_for_more_than_there_is_finds_all():
    whole, *_ = whole_of(5, every=2)
    assert sorted(ids(whole.search(vectors(1), 50)[0])) == ["0", "2", "4"]


def test_where_no_case_has_an_ecg_none_is_found():
    cases = [row_of(a_case(c)).filed for c in "abc"]
    whole = WholeCases.of("g1", cases, np.zeros((3, DIMENSION), np.float32))
    assert whole.search(vectors(2), 5) == [[], []]


def test_an_empty_index_has_nothing():
    whole = WholeCases.of("g1", [], np.empty((0, DIMENSION), np.float32))
    assert whole.search(vectors(2), 5) == [[], []]
    assert whole.of_report(vectors(1)[0], "r1", 5) == []


@pytest.mark.parametrize("count", [3, 6, 60])
def test_of_a_report_those_with_an_ecg_come_first_and_the_nearest_before_them(count):
    whole, filed, embeddings = whole_of(100, every=2)
    (asked,) = vectors(1, seed=1)
    for report_id in {one.report_id for one in filed}:
        own = [n for n, one in enumerate(filed) if one.report_id == report_id]
        best = sorted(own, key=lambda n: (not filed[n].case.has_ecg, -float(asked @ embeddings[n])))
        found = whole.of_report(asked, report_id, count)
        recorded = [n for n in best[:count] if filed[n].case.has_ecg]
        assert ids(found)[: len(recorded)] == [str(n) for n in recorded]
        assert len(found) == min(count, len(own))
        assert not any(m.filed.case.has_ecg for m in found[len(recorded) :])


# Reading.


def store_of(count: int) -> tuple[FakeStore, IndexInfo]:
    store = FakeStore(has_cases=True)
    index = store.current()
    embeddings = vectors(count)
    store.cases.upsert(index, [row_of(a_case(str(n)), embeddings[n]) for n in range(count)])
    return store, index


@pytest.mark.parametrize(("limit", "read"), [(9, False), (10, True), (0, False)])
def test_an_index_of_few_cases_is_read_whole(limit, read):
    store, index = store_of(10)
    memory = MemoryCases(cast(CaseIndex, store.cases), limit)
    memory.read(index)
    whole = memory.get(index)
    assert (whole is not None) is read
    if whole is not None:
        assert sorted(ids(whole.search(vectors(1), 50)[0])) == sorted(map(str, range(10)))


def test_pages_are_put_together_in_their_order(monkeypatch):
    store, index = store_of(10)
    filed, embeddings = next(store.cases.embedded_pages(index))
    pages = [(filed[:4], embeddings[:4]), (filed[4:], embeddings[4:])]
    monkeypatch.setattr(store.cases, "embedded_pages", lambda _: iter(pages))
    memory = MemoryCases(cast(CaseIndex, store.cases), 10)
    memory.read(index)
    whole = memory.get(index)
    assert whole is not None
    for number in range(10):
        (found,) = whole.search(embeddings[number][None], 1)
        assert ids(found) == [str(number)]
