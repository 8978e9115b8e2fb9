import pytest

from cardex.stores.vector_index import EXACT_UP_TO, KINDS, cells_for, kind_of


@pytest.mark.parametrize(
    ("count", "cells", "probed"),
    [(1, 1, 1), (EXACT_UP_TO, 1, 1), (EXACT_UP_TO + 1, 894, 56), (10**6, 4000, 250)],
)
def test_ivf_flat_is_exact_until_it_is_large(count, cells, probed):
    assert cells_for("IVF_FLAT", count) == cells
    kind = kind_of("IVF_FLAT", cells)
    assert (kind.build, kind.search) == ({"nlist": cells}, {"nprobe": probed})


@pytest.mark.parametrize("name", ["FLAT", "HNSW"])
def test_other_kinds_have_the_same_parameters_at_any_size(name):
    assert cells_for(name, 10**7) == 1
    assert kind_of(name, 1) == KINDS[name]
