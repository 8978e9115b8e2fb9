"""Several Triton servers behind one name, as a headless service gives them."""

import os
import signal

import numpy as np
import pytest

from cardex.domain.jobs import Priority
from cardex.domain.settings import Settings
from cardex.inference.control import Replica, replicas
from cardex.inference.probe import probe_image
from cardex.inference.repository import IMAGE_ENCODER
from cardex.inference.triton_encoder import TritonEncoder
from cardex.retrieval.dependencies import triton_server
from tests.helpers.stack import running_triton
from tests.helpers.waiting import until


@pytest.fixture
def servers(tmp_path):
    """Two servers: their parts, and one target that names both."""
    repository = Settings().model_repository
    with (
        running_triton(tmp_path / "one", repository) as (one, first),
        running_triton(tmp_path / "other", repository) as (other, second),
    ):
        yield (one, other), f"ipv4:{first},{second}"


def asked(*servers: Replica) -> list[int]:
    """Return how many ECGs each has embedded."""
    return [server.asked(IMAGE_ENCODER, 1) for server in servers]


def test_calls_go_round_and_survive_the_death_of_a_replica(servers):
    parts, target = servers
    settings = Settings(triton_url=target)
    encoder = TritonEncoder(triton_server(settings), settings.model_repository)
    (model,) = encoder.models()
    images = probe_image(model.image_spec.shape)
    one, other = replicas(target, timeout_s=10.0)
    before = asked(one, other)
    expected = encoder.embed_images(model, images, Priority.ROUTINE)
    for _ in range(19):
        encoder.embed_images(model, images, Priority.ROUTINE)
    # Triton counts a request after it has answered it.
    until(lambda: sum(asked(one, other)) >= sum(before) + 20)
    after = asked(one, other)
    assert [there - then for then, there in zip(before, after, strict=True)] == [10, 10]
    os.killpg(parts[0].process.pid, signal.SIGKILL)
    for _ in range(20):
        found = encoder.embed_images(model, images, Priority.ROUTINE)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    until(lambda: asked(other) >= [after[1] + 20])
