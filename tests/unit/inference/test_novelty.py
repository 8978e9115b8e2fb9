import json
import logging

import numpy as np
import pytest

from cardex.domain.errors import ConfigurationError, VersionMismatch
from cardex.inference.novelty import (
    EmbeddingSpace,
    Novelty,
    load_novelty,
    served_novelty,
    write_novelty,
)
from cardex.inference.repository import ModelVersion
from tests.helpers.fake_model import DIMENSION, model_info

FILE = {
    "model_version": "m1", "mean": [0.5, 0.0, 0.0], "axes": [[0.0, 1.0, 0.0]], "scales": [0.1],
    "residual": 0.04, "thresholds": [2.0, 1.5],
}  # fmt: skip


@pytest.fixture
def written(tmp_path):
    def write(content) -> object:
        path = tmp_path / "novelty.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def test_distances_are_in_standard_deviations_along_the_axes_and_beyond():
    space = EmbeddingSpace(
        np.array([0.5, 0.0, 0.0]), np.array([[0.0, 1.0, 0.0]]), np.array([0.1]), 0.04
    )
    ecgs = np.array([[0.5, 0.0, 0.0], [0.5, 0.3, 0.0], [0.5, 0.0, -0.4]], dtype=np.float32)
    np.testing.assert_allclose(
        space.distances(ecgs), [[0, 0], [3, np.sqrt(9 / 2)], [0, np.sqrt(4 / 2)]], atol=1e-6
    )
    np.testing.assert_allclose(space.distances(ecgs[1]), [3, np.sqrt(9 / 2)], rtol=1e-6)


def test_the_first_distance_sees_the_first_sixteen_axes_only():
    space = EmbeddingSpace(np.zeros(20), np.eye(20)[:18], np.ones(18), 1.0)
    near, wide = space.distances(np.eye(20, dtype=np.float32)[17])
    assert near == 0.0
    assert wide == pytest.approx(np.sqrt(1 / 19))


def test_one_distance_over_its_threshold_is_enough(written):
    found = load_novelty(written(FILE))
    assert found
    ecgs = np.array([[0.5, 0.1, 0.1], [0.5, 0.21, 0.0], [0.5, 0.0, 0.9]], dtype=np.float32)
    assert found.unlike(ecgs).tolist() == [False, True, True]
    assert found.unlike(ecgs[1])


def test_what_is_written_is_read_again_and_small(tmp_path):
    random = np.random.default_rng(0)
    space = EmbeddingSpace(
        random.normal(size=256), random.normal(size=(48, 256)), random.random(48) + 0.1, 1.25e-5
    )
    path = tmp_path / "novelty.json"
    write_novelty(path, "m1", Novelty("", space, np.array([1.4712345, 1.58])))
    found = load_novelty(path)
    assert found
    assert found.model_version == "m1"
    assert found.space.residual == 1.25e-5
    assert found.thresholds.tolist() == [1.47123, 1.58]
    np.testing.assert_allclose(found.space.axes, space.axes, rtol=1e-5)
    assert path.stat().st_size < 200_000


def test_another_file_has_another_fingerprint(written):
    first, again = load_novelty(written(FILE)), load_novelty(written(FILE))
    other = load_novelty(written({**FILE, "residual": 0.05}))
    assert first and again and other
    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_a_missing_file_is_said_in_the_log(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assert load_novelty(tmp_path / "novelty.json") is None
    assert "no answer is marked OUT_OF_DISTRIBUTION" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        {**FILE, "model_version": ""},
        {**FILE, "mean": []},
        {**FILE, "mean": [0.5, 0.0]},
        {**FILE, "axes": [[0.0, 1.0, 0.0], [1.0]], "scales": [0.1, 0.1]},
        {**FILE, "axes": []},
        {**FILE, "scales": [0.1, 0.2]},
        {**FILE, "scales": [0.0]},
        {**FILE, "residual": -1.0},
        {**FILE, "thresholds": [1.0]},
        json.dumps(FILE).replace("0.04", "NaN"),
    ],
)
def test_a_damaged_file_is_refused_with_its_name_and_the_remedy(written, content):
    with pytest.raises(ConfigurationError, match=r"novelty\.json.*export it anew"):
        load_novelty(written(content))


# With a served model.


@pytest.fixture
def repository(tmp_path):
    path = ModelVersion(tmp_path, 1).novelty
    path.parent.mkdir(parents=True)
    axes = np.eye(DIMENSION)[:1].tolist()
    path.write_text(json.dumps({**FILE, "mean": [0.0] * DIMENSION, "axes": axes}))
    return tmp_path


def test_a_served_model_has_its_own(repository):
    found = served_novelty(repository, model_info("m1"))
    assert found
    assert found.model_version == "m1"
    assert served_novelty(repository, model_info("m1", triton_version=2)) is None


def test_that_of_another_model_is_refused_with_both_versions_and_the_remedy(repository):
    with pytest.raises(
        VersionMismatch,
        match=r"novelty\.json belongs to model m1, beside it is m9",
    ):
        served_novelty(repository, model_info("m9"))


def test_that_of_other_embeddings_is_refused(repository):
    with pytest.raises(ConfigurationError, match="embeddings have 7 components"):
        served_novelty(repository, model_info("m1", dimension=7))
