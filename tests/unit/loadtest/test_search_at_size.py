"""What is tried in a large index."""

import pytest

from cardex.retrieval.draft import VOTERS
from loadtest.search_at_size import OWN, Trial, trials


def test_the_first_trials_are_what_cardex_does_at_that_size():
    first = trials(1_000_000)[: len(OWN)]
    assert [trial.kind for trial in first] == list(OWN)
    assert first[1] == Trial("IVF_FLAT", {"nlist": 4000}, ({"nprobe": 500},))
    assert trials(20_000)[1] == Trial("IVF_FLAT", {"nlist": 1}, ({"nprobe": 1},))


@pytest.mark.parametrize("count", [20_000, 1_000_000])
def test_every_search_can_find_as_many_as_are_asked_for(count):
    searches = [search for trial in trials(count) for search in trial.searches]
    assert all(search.get("ef", VOTERS) >= VOTERS for search in searches)
    assert all(search.get("nprobe", 1) >= 1 for search in searches)
