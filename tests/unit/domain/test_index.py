"""Indexes with the same reports, by different models."""

import pytest

from cardex.domain.index import IndexInfo


def index_of(name: str, generation: str = "g1", twin: tuple[str, ...] = ()) -> IndexInfo:
    return IndexInfo(name, generation, "m", 1.0, 8, "FLAT", twin)


OLD = index_of("old")
NEW = index_of("new", "h1", twin=("old", "g1", "h1"))


def test_an_index_has_the_same_reports_as_itself():
    assert OLD.same_reports(index_of("old"))


def test_an_index_and_the_one_made_from_it_have_the_same_reports():
    assert NEW.same_reports(OLD)
    assert OLD.same_reports(NEW)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (index_of("old", "g2"), NEW),
        (OLD, index_of("new", "h2", twin=NEW.twin)),
        (index_of("other"), NEW),
        (OLD, index_of("new", "h1")),
        (index_of("third", "i1", twin=("old", "g1", "i1")), NEW),
    ],
    ids=["the old changed", "the new changed", "of another", "unrelated", "made from the same"],
)
def test_indexes_that_changed_since_or_were_made_apart_are_not_the_same(one, other):
    assert not one.same_reports(other)
    assert not other.same_reports(one)
