"""What is tried in a large index."""

import pytest

from cardex.retrieval.draft import VOTERS
from cardex.stores.vector_index import KINDS
from loadtest.search_at_size import OWN, Trial, trials


def test_the_first_trials_of_each_kind_are_what_cardex_does_at_that_size():
    first = {trial.kind: trial for trial in reversed(trials(1_000_000))}
    assert first.keys() == set(OWN)
    assert first["IVF_FLAT"].build == {"nlist": 4000}
    assert first["IVF_FLAT"].searches[0] == {"nprobe": 250}
    assert (first["HNSW"].build, first["HNSW"].searches[0]) == (
        KINDS["HNSW"].build, KINDS["HNSW"].search,
    )  # fmt: skip
    assert trials(20_000)[0] == Trial("IVF_FLAT", {"nlist": 1}, ({"nprobe": 1},))


@pytest.mark.parametrize("count", [20_000, 1_000_000])
def test_every_search_can_find_as_many_as_are_asked_for(count):
    searches = [search for trial in trials(count) for search in trial.searches]
    assert all(search.get("ef", VOTERS) >= VOTERS for search in searches)
    assert all(search.get("nprobe", 1) >= 1 for search in searches)
