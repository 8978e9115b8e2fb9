from typing import cast

import numpy as np
import pytest

from cardex.domain.index import IndexInfo, Match
from cardex.domain.reports import Report
from cardex.retrieval.report_cache import ReportCache
from cardex.stores.report_index import ReportIndex


class Store:
    """Reports by id; keeps which were asked for, each time."""

    def __init__(self, *names: str) -> None:
        self.there = {name: Report(name, f"report {name}") for name in names}
        self.asked: list[list[str]] = []

    def get(self, index, report_ids):
        self.asked.append(list(report_ids))
        return {name: self.there[name] for name in report_ids if name in self.there}

    def embeddings(self, index, report_ids):
        self.asked.append(list(report_ids))
        return {name: np.full(4, ord(name)) for name in report_ids if name in self.there}


@pytest.fixture
def store():
    return Store("a", "b", "c")


@pytest.fixture
def cache(store):
    return ReportCache(cast(ReportIndex, store))


def index(generation: str = "g1") -> IndexInfo:
    return IndexInfo("reports_1", generation, "m", 1.0, 8, "FLAT")


def matches(*names: str) -> list[Match]:
    return [Match(name, 0.5) for name in names]


def test_each_report_is_read_once(cache, store):
    assert cache.get(index(), matches("a", "b", "a")) == {n: store.there[n] for n in "ab"}
    assert cache.get(index(), matches("b", "c")) == {n: store.there[n] for n in "bc"}
    assert store.asked == [["a", "b"], ["c"]]


def test_a_report_that_was_deleted_meanwhile_is_left_out(cache):
    assert set(cache.get(index(), matches("a", "gone"))) == {"a"}


def test_a_new_generation_is_read_anew(cache, store):
    cache.get(index("g1"), matches("a"))
    store.there["a"] = Report("a", "another text")
    assert cache.get(index("g2"), matches("a"))["a"].text == "another text"


def test_a_cache_that_is_full_begins_anew(cache, store, monkeypatch):
    monkeypatch.setattr(ReportCache, "LIMIT", 1)
    cache.get(index(), matches("a", "b"))
    cache.get(index(), matches("a"))
    assert store.asked == [["a", "b"], ["a"]]


def test_many_reports_are_asked_for_in_parts():
    names = [f"{number:04}" for number in range(1001)]
    store = Store(*names)
    found = ReportCache(cast(ReportIndex, store)).get(index(), matches(*names))
    assert set(found) == set(names)
    assert [len(asked) for asked in store.asked] == [500, 500, 1]


def test_embeddings_are_kept_apart_from_reports(cache, store):
    cache.get(index(), matches("a"))
    found = cache.embeddings(index(), ["a", "b", "gone"])
    assert {name: int(vector[0]) for name, vector in found.items()} == {"a": 97, "b": 98}
    cache.embeddings(index(), ["b"])
    assert store.asked == [["a"], ["a", "b", "gone"]]
