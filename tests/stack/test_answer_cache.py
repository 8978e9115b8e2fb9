"""What the cache promises after an erasure, against a real Valkey."""

from dataclasses import replace

import numpy as np
import pytest

from cardex.domain.index import IndexInfo
from cardex.domain.quality import SignalQuality
from cardex.stores.answer_cache import PREFIX, AnswerCache
from cardex.stores.redis import connect

BEFORE = IndexInfo("reports_1", "19a2b3c4d5e0f00", "m", 1.0, 4, "FLAT")
ERASED = replace(BEFORE, generation="19a2b3c4d5e1000")
AFTER = replace(BEFORE, generation="19a2b3c4d600000")
OTHER = replace(BEFORE, name="reports_2")
KEY = f"{PREFIX}result:a"
ECG = {"sha": (np.ones(4, np.float32), SignalQuality(0.9, 66.0, ()))}


@pytest.fixture
def cache(valkey):
    client = connect(valkey)
    client.flushall()
    return AnswerCache(client, ttl_s=60.0)


@pytest.mark.parametrize("index", [ERASED, AFTER, OTHER], ids=["that", "later", "another"])
def test_what_is_made_of_an_index_after_an_erasure_is_kept(cache, index):
    cache.forget(ERASED)
    cache.put_answers({KEY: b"an answer"}, index)
    cache.put_embeddings(ECG, "m", index)
    assert cache.answers([KEY]) == [b"an answer"]
    assert cache.embeddings(["sha"], "m")[0] is not None


def test_what_a_worker_makes_of_an_index_before_it_hears_of_an_erasure_is_not_kept(cache):
    cache.put_answers({KEY: b"an answer"}, BEFORE)
    cache.forget(ERASED)
    cache.put_answers({KEY: b"an answer"}, BEFORE)
    cache.put_embeddings(ECG, "m", BEFORE)
    assert cache.answers([KEY]) == [None]
    assert cache.embeddings(["sha"], "m") == [None]
