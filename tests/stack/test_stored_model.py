"""The model repository without an encoder: Triton serves it, and the client accepts it."""

import numpy as np

from cardex.domain.jobs import Priority
from cardex.inference.probe import probe_image
from cardex.inference.repository import newest
from cardex.inference.triton_client import TritonClient
from cardex.inference.triton_encoder import TritonEncoder
from loadtest.ceiling import stored_repository
from loadtest.peers.work import OnnxEncoder
from tests.helpers.real import ROOT, cpsc_images
from tests.helpers.stack import running_triton

REPOSITORY = ROOT / "model_repository"


def test_stored_embeddings_pass_every_check_and_differ_by_image(tmp_path):
    real = OnnxEncoder(newest(REPOSITORY))
    (model,) = real.models()
    images = cpsc_images(model.image_spec)
    repository = stored_repository(REPOSITORY, tmp_path / "models", images)
    with running_triton(tmp_path / "triton", repository) as (_, url):
        encoder = TritonEncoder(TritonClient(url), repository)
        (served,) = encoder.models()  # checks names, tensors and version, and probes
        assert served.version == model.version
        found = {priority: encoder.embed_images(served, images, priority) for priority in Priority}
        probed = encoder.embed_images(served, probe_image(model.image_spec.shape), Priority.STAT)
    stored = np.concatenate(
        [real.embed_images(model, each[None], Priority.STAT) for each in images]
    )
    for vectors in found.values():
        apart = np.abs(vectors[:, None] - stored[None]).max(axis=2)  # (asked, stored)
        assert (apart.min(axis=1) < 1e-5).all()
        assert len(set(apart.argmin(axis=1))) > 1
        np.testing.assert_array_equal(vectors, found[Priority.STAT])
    assert np.abs(stored - probed).max(axis=1).min() > 1e-3
