from types import SimpleNamespace
from typing import cast

import pytest

from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.domain.errors import Unavailable
from cardex.domain.jobs import QueueState
from cardex.domain.settings import Settings
from cardex.gateway.auth import _caller
from cardex.gateway.ecg_retrieval import EcgRetrievalService
from cardex.gateway.submissions import SubmissionService
from cardex.gateway.threads import SlowCalls
from cardex.gateway.waiting import AnswerWaiter
from cardex.gateway.watches import JobWatches
from cardex.retrieval.active_index import ActiveIndex
from cardex.retrieval.dependencies import Dependencies
from cardex.signals.image_spec import ImageSpec
from tests.helpers.fake_model import model_info
from tests.helpers.gateway import ICU
from tests.helpers.house import House

OTHER = ImageSpec(tile=32)


class Jobs:
    def state(self, priority) -> QueueState:
        return QueueState(priority, 3, 2.0, 0, {"icu": 1, "ward": 2})


@pytest.fixture
def house():
    """The index of model-1; a newer model with another image is served beside it."""
    house = House()
    house.encoder.served = (model_info("model-2", image_spec=OTHER), model_info("model-1"))
    return house


@pytest.fixture
def info(house):
    index = ActiveIndex(house.encoder, house.store)
    parts = SimpleNamespace(jobs=Jobs(), encoder=house.encoder, active_index=index)
    service = EcgRetrievalService(
        Settings(),
        cast(Dependencies, parts),
        submissions=cast(SubmissionService, None),
        waiter=cast(AnswerWaiter, None),
        watches=cast(JobWatches, None),
        slow=SlowCalls(),
    )

    def ask():
        index.refresh()
        _caller.set(ICU)
        return service.GetServerInfo(pb.GetServerInfoRequest(), None)

    return ask


async def test_every_served_model_is_named(info):
    assert list((await info()).served_model_versions) == ["model-2", "model-1"]


async def test_the_model_is_the_one_that_answers(info):
    found = await info()
    assert (found.model_version, found.image_spec) == ("model-1", ImageSpec().id)
    assert found.index_model_version == "model-1"


async def test_without_an_index_the_newest_model_is_named(info, house):
    house.store.index = None
    found = await info()
    assert (found.model_version, found.image_spec) == ("model-2", OTHER.id)
    assert found.index_name == ""


async def test_a_model_that_was_deployed_just_now_is_named(info, house):
    house.encoder.arriving = (model_info("model-3"),)
    assert "model-3" in (await info()).served_model_versions


async def test_what_is_down_is_left_empty(info, house):
    house.encoder.error = Unavailable("Triton is down")
    found = await info()
    assert found.model_version == ""
    assert len(found.queues) == 2


async def test_the_queues_tell_what_waits_and_what_of_it_is_the_callers(info):
    found = await info()
    assert [(queue.depth, queue.own_depth) for queue in found.queues] == [(3, 1), (3, 1)]
