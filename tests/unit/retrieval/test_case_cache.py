from dataclasses import replace
from typing import cast

import pytest

from cardex.domain.cases import SHOWN_CASES, FiledCase
from cardex.domain.index import IndexInfo
from cardex.domain.reports import Report
from cardex.retrieval.case_cache import COMMON, AskedCases, CaseCache, NearestCases
from cardex.stores.case_filter import WITH_ECG
from cardex.stores.case_index import CaseIndex
from tests.helpers.cases import a_case, row_of, vectors
from tests.helpers.fake_store import FakeStore

COUNT = 150
TEXTS = 11


def store_of(count: int = COUNT) -> tuple[FakeStore, IndexInfo]:
    """Return an index of cases of whom two of three have an ECG."""
    store = FakeStore(has_cases=True)
    index = store.current()
    embeddings = vectors(count)
    rows = [
        row_of(a_case(str(n), f"text {n % TEXTS}", age=n), embeddings[n] if n % 3 else None)
        for n in range(count)
    ]
    store.cases.upsert(index, rows)
    store.calls.clear()
    return store, index


def reports_of(store: FakeStore, index: IndexInfo, **fields) -> list[Report]:
    rows = store.cases.of(index).values()
    return [Report(one, "text", **fields) for one in sorted({row.filed.report_id for row in rows})]


def cache_of(store: FakeStore, whole_up_to: int = 0) -> CaseCache:
    return CaseCache(cast(CaseIndex, store.cases), whole_up_to)


def in_memory(store: FakeStore, index: IndexInfo) -> CaseCache:
    cache = cache_of(store, COUNT)
    cache._memory.read(index)
    store.calls.clear()
    return cache


def told(cases: NearestCases) -> dict[str, list[tuple[str, float | None]]]:
    return {
        report_id: [
            (m.filed.case.case_id, round(m.similarity, 5)) if m.filed.case.has_ecg else ("", None)
            for m in matches
        ]
        for report_id, matches in cases.items()
    }


def even(filed: FiledCase) -> bool:
    return (filed.case.age or 0) % 2 == 0


def test_in_memory_the_same_cases_are_found_without_a_call():
    store, index = store_of()
    asked = vectors(4, seed=1)
    plain, whole = cache_of(store), in_memory(store, index)
    for found, exact in zip(
        whole.search(index, asked, 30), plain.search(index, asked, 30), strict=True
    ):
        assert [m.filed for m in found] == [m.filed for m in exact]
    assert store.calls == ["cases.search"]


def test_in_memory_the_same_cases_of_reports_are_shown_without_a_call():
    store, index = store_of()
    asked: list[AskedCases] = [
        (vector, reports_of(store, index), {}) for vector in vectors(3, seed=1)
    ]
    whole = in_memory(store, index).of_reports(index, asked)
    assert store.calls == []
    plain = cache_of(store).of_reports(index, asked)
    assert [told(one) for one in whole] == [told(one) for one in plain]
    assert all(len(matches) == SHOWN_CASES for one in plain for matches in one.values())


def test_the_cases_of_all_questions_are_read_at_once():
    store, index = store_of()
    reports = reports_of(store, index)
    cache_of(store).of_reports(index, [(one, reports, {}) for one in vectors(5)])
    assert store.calls == ["cases.of_reports"]


def test_cases_without_an_ecg_come_last():
    store, index = store_of()
    (vector,) = vectors(1, seed=1)
    for row in list(store.cases.of(index).values()):
        if row.embedding is not None:  # so that the zeros of the others would be nearer
            store.cases.upsert(index, [replace(row, embedding=-vector)])
    few = [row_of(a_case(f"x{n}", "rare"), -vector if n == 2 else None) for n in range(4)]
    store.cases.upsert(index, few)
    report = Report(few[0].filed.report_id, "rare", record_count=4)
    for cache in (cache_of(store), cache_of(store, COUNT + 4)):
        cache._memory.read(index)
        (found,) = cache.of_reports(index, [(vector, [report], {})])
        shown = [match.filed.case.case_id for match in found[report.report_id]]
        assert shown[0] == "x2"
        assert sorted(shown) == ["x0", "x1", "x2", "x3"]


@pytest.mark.parametrize("memory", [True, False])
def test_an_expression_is_asked_of_the_store(memory):
    store, index = store_of()
    store.cases.predicates["even"] = even
    cache = in_memory(store, index) if memory else cache_of(store)
    for found in cache.search(index, vectors(2, seed=1), 50, "even"):
        assert len(found) == 50
        assert all(even(match.filed) for match in found)
    (shown,) = cache.of_reports(index, [(vectors(1)[0], reports_of(store, index), {})], "even")
    assert all(even(match.filed) for matches in shown.values() for match in matches)
    assert all(shown.values())
    assert store.calls == ["cases.search", "cases.of_reports"]


def test_a_common_report_is_searched_and_not_read(monkeypatch):
    store, index = store_of()
    store.cases.predicates["even"] = even
    common = reports_of(store, index, record_count=COMMON + 1)
    asked: list[AskedCases] = [(vectors(1, seed=1)[0], common, {})]
    cache = cache_of(store)
    (rare,) = cache.of_reports(index, [(asked[0][0], reports_of(store, index), {})])
    store.calls.clear()
    (found,) = cache.of_reports(index, asked)
    assert store.calls == ["cases.search"] * len(common)
    assert told(found) == told(rare)
    (some,) = cache.of_reports(index, asked, "even")
    assert all(even(match.filed) for matches in some.values() for match in matches)


def test_of_a_common_report_without_an_ecg_some_cases_are_shown():
    store, index = store_of()
    rows = [row_of(a_case(f"x{n}", "common", age=n)) for n in range(COMMON + 1)]
    store.cases.upsert(index, rows)
    report = Report(rows[0].filed.report_id, "common", record_count=len(rows))
    (found,) = cache_of(store).of_reports(index, [(vectors(1)[0], [report], {})])
    shown = found[report.report_id]
    assert len(shown) == SHOWN_CASES
    assert {match.filed.report_id for match in shown} == {report.report_id}
    store.cases.predicates["even"] = even
    (some,) = cache_of(store).of_reports(index, [(vectors(1)[0], [report], {})], "even")
    assert len(some[report.report_id]) == SHOWN_CASES
    assert all(even(match.filed) for match in some[report.report_id])


@pytest.mark.parametrize("others", [0, COMMON - 3, COMMON - 2, COMMON])
def test_how_many_cases_others_have_changes_nothing_of_those_that_may_be_shown(others):
    store, index = store_of()
    own = [row_of(a_case(f"x{n}", "rare", age=2 * n)) for n in range(2)]
    own.append(row_of(a_case("x2", "rare", age=4), vectors(1)[0]))
    more = [row_of(a_case(f"y{n}", "rare", age=1), vectors(1)[0]) for n in range(others)]
    store.cases.upsert(index, [*own, *more])
    store.cases.predicates["even"] = even
    report = Report(own[0].filed.report_id, "rare", record_count=3 + others)
    (found,) = cache_of(store).of_reports(index, [(vectors(1)[0], [report], {})], "even")
    shown = [match.filed.case.case_id for match in found[report.report_id]]
    assert shown == ["x2", "x0", "x1"]


def test_for_a_text_only_cases_with_an_ecg_are_asked_for(monkeypatch):
    """Milvus would put the zeros of the others before an ECG that is unlike the text."""
    store, index = store_of()
    store.cases.predicates["even"] = even
    asked: list[str] = []
    search = store.cases.search

    def noted(index, embeddings, count, expression=""):
        asked.append(expression)
        return search(index, embeddings, count, expression)

    monkeypatch.setattr(store.cases, "search", noted)
    cache = cache_of(store)
    for expression in ("", "even"):
        cache.search(index, vectors(1), 5, expression, of_text=True)
        cache.search(index, vectors(1), 5, expression)
    assert asked == [WITH_ECG, "", f"{WITH_ECG} and even", "even"]


def test_a_report_of_which_the_archive_has_no_case_has_none():
    store, index = store_of()
    (found,) = cache_of(store).of_reports(index, [(vectors(1)[0], [Report("r1", "text")], {})])
    assert found == {"r1": []}


def test_an_index_of_an_earlier_version_has_no_cases_and_is_not_asked():
    store, index = store_of()
    old = replace(index, has_cases=False)
    for cache in (cache_of(store), in_memory(store, index)):
        cache.read_ahead(old)
        assert cache.search(old, vectors(2), 5) == [[], []]
        asked: list[AskedCases] = [(vectors(1)[0], reports_of(store, index), {})]
        assert cache.of_reports(old, asked) == [{}]
    assert store.calls == []


def test_of_a_common_report_the_cases_that_are_near_anyway_are_shown_without_a_search():
    store, index = store_of()
    common = reports_of(store, index, record_count=COMMON + 1)
    vector = vectors(1, seed=1)[0]
    cache = cache_of(store)
    near = cache.search(index, vector[None], 30)[0]
    known = {near[0].filed.report_id: near[:1]}
    store.calls.clear()
    report = next(one for one in common if one.report_id in known)
    (found,) = cache.of_reports(index, [(vector, [report], known)])
    assert found == {report.report_id: near[:1]}
    assert "cases.search" not in store.calls
