import json

import pytest

from cardex.domain.errors import ConfigurationError
from cardex.inference.repository import (
    GRAPHS,
    IMAGE_ENCODER,
    MATCHER,
    TEXT_ENCODER,
    ModelVersion,
    model_versions,
    newest,
    parameter_key,
)
from cardex.signals.image_spec import ImageSpec

BOTH = (IMAGE_ENCODER, TEXT_ENCODER)
SPEC = ImageSpec(layout="raster", tile=32)
FIELDS = {"model_version": "cardex-1", "recipe": {"spec": json.loads(SPEC.to_json())}}


@pytest.fixture
def repository(tmp_path):
    """A model repository of nothing; `add` gives it a graph."""
    tmp_path.joinpath(MATCHER).mkdir()
    return tmp_path


def add(repository, folder: str, *models: str) -> None:
    for model in models:
        path = repository / model / folder / "model.onnx"
        path.parent.mkdir(parents=True)
        path.touch()


@pytest.fixture
def release(repository):
    add(repository, "1", *GRAPHS)
    release = ModelVersion(repository, 1)
    release.card.write_text(json.dumps(FIELDS))
    return release


def test_each_version_has_its_own_folders(repository):
    first, second = ModelVersion(repository, 1), ModelVersion(repository, 2)
    for of in ("tokenizer", "statements", "card", "page"):
        one, other = getattr(first, of), getattr(second, of)
        assert (one.name, one.parent.name, other.parent.name) == (other.name, "1", "2")
    assert first.graph(MATCHER) == repository / MATCHER / "1" / "model.onnx"


def test_versions_are_in_the_order_of_their_numbers(repository):
    for number in ("10", "9", "2"):
        add(repository, number, *BOTH)
    assert [release.triton_version for release in model_versions(repository)] == [2, 9, 10]
    assert newest(repository).triton_version == 10


@pytest.mark.parametrize("model", BOTH)
def test_a_version_that_only_one_encoder_has_is_none(repository, model):
    add(repository, "1", *BOTH)
    add(repository, "2", model)
    assert newest(repository).triton_version == 1


def test_a_version_needs_no_matcher(repository):
    add(repository, "1", *BOTH)
    assert not newest(repository).has_matcher
    add(repository, "1", MATCHER)
    assert newest(repository).has_matcher


def test_a_folder_without_a_graph_is_no_version(repository):
    add(repository, "1", *BOTH)
    for model in BOTH:
        (repository / model / "2").mkdir()
    assert [release.triton_version for release in model_versions(repository)] == [1]


@pytest.mark.parametrize("folder", ["1.old", "2~", "new", "configs"])
def test_a_folder_that_is_no_number_is_no_version(repository, folder):
    add(repository, "1", *BOTH)
    add(repository, folder, *BOTH)
    assert [release.triton_version for release in model_versions(repository)] == [1]


def test_a_repository_without_a_version_is_named_with_the_remedy(repository):
    with pytest.raises(ConfigurationError, match=rf"{repository} holds no version.*CARDEX_MODEL_"):
        newest(repository)


def test_a_folder_that_is_not_there_holds_no_version(tmp_path):
    with pytest.raises(ConfigurationError, match="none holds no version"):
        newest(tmp_path / "none")


def test_version_and_image_come_from_the_card(release):
    assert (release.version(), release.spec()) == ("cardex-1", SPEC)


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "{",
        "[]",
        "{}",
        '{"model_version": "cardex-1", "recipe": {}}',
        '{"model_version": "cardex-1", "recipe": {"spec": {"layout": "strip"}}}',
        '{"model_version": "cardex-1", "recipe": {"spec": {"width": 3}}}',
        '{"model_version": "cardex-1", "recipe": {"spec": [1]}}',
    ],
)
def test_a_card_that_tells_no_image_is_named_with_the_remedy(release, content):
    release.card.unlink()
    if content is not None:
        release.card.write_text(content)
    with pytest.raises(
        ConfigurationError, match=r"1/model_card\.json tells no model.*cardex train"
    ):
        release.spec()


@pytest.mark.parametrize("content", ["", "[]", "{}", '"cardex-1"'])
def test_a_card_that_tells_no_version_is_named(release, content):
    release.card.write_text(content)
    with pytest.raises(ConfigurationError, match=r"1/model_card\.json tells no model"):
        release.version()


def test_a_parameter_stands_under_the_number_of_its_version():
    assert parameter_key(2, "probe") == "2.probe"
