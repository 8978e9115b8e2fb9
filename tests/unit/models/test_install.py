import pytest

from cardex.domain.errors import ConfigurationError, VersionMismatch
from cardex.inference.repository import (
    IMAGE_ENCODER,
    MATCHER,
    MODELS,
    STAT_INSTANCE,
    TEXT_ENCODER,
    ModelVersion,
    model_versions,
    newest,
)
from cardex.models.config import (
    config_files,
    parameters,
    remove_parameters,
    set_versions,
    versions,
)
from cardex.models.install import install, serve, served_versions, uninstall


def everything(repository):
    return {
        path.relative_to(repository): path.read_bytes()
        for path in sorted(repository.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_a_version_stands_beside_the_old_one_with_all_its_files(repository, other):
    release = install(newest(other), repository)
    assert [one.triton_version for one in model_versions(repository)] == [1, 2]
    assert release.version() == "cardex-other"
    assert release.tokenizer.is_file()
    assert release.statements.is_file()
    assert release.novelty.read_bytes() == newest(other).novelty.read_bytes()
    for model in (IMAGE_ENCODER, TEXT_ENCODER, MATCHER):
        assert (release.folder(model) / "model.py").is_file()
    stat = release.folder(STAT_INSTANCE)
    assert stat.resolve() == release.folder(IMAGE_ENCODER).resolve()


def test_every_target_knows_both_versions(repository, other):
    install(newest(other), repository)
    for model in MODELS:
        for config in config_files(repository, model):
            assert parameters(config, 2)["model_version"] == "cardex-other"
            assert parameters(config, 1).keys() == parameters(config, 2).keys()


def test_what_is_installed_is_not_yet_served(repository, other):
    install(newest(other), repository)
    assert served_versions(repository) == [1]


def test_a_version_that_is_there_is_not_installed_twice(repository, other):
    first = install(newest(other), repository)
    assert install(newest(other), repository) == first
    assert install(newest(repository), repository).triton_version == 2


def test_a_number_that_was_used_is_not_used_again(repository, other):
    ModelVersion(repository, 7).folder(MATCHER).mkdir()
    assert install(newest(other), repository).triton_version == 8


def test_uninstall_leaves_no_trace(repository, other):
    before = everything(repository)
    uninstall(install(newest(other), repository))
    assert everything(repository) == before


def test_an_installation_that_was_cut_off_is_completed(repository, other):
    release = install(newest(other), repository)
    for model in MODELS:
        for config in config_files(repository, model):
            remove_parameters(config, 2)
    assert install(newest(other), repository) == release
    for model in MODELS:
        for config in config_files(repository, model):
            assert parameters(config, 2)["model_version"] == "cardex-other"


def test_serve_names_the_versions_in_every_file(repository, other):
    install(newest(other), repository)
    serve(repository, [1, 2])
    for model in MODELS:
        assert all(versions(config) == [1, 2] for config in config_files(repository, model))
    serve(repository, [1])
    assert served_versions(repository) == [1]


def test_a_model_that_a_version_lacks_is_not_served_of_it(repository, other):
    release = install(newest(other), repository)
    (release.folder(MATCHER)).rename(repository / "away")
    serve(repository, [1, 2])
    assert {tuple(versions(config)) for config in config_files(repository, MATCHER)} == {(1,)}


def test_targets_that_do_not_agree_are_named(repository):
    set_versions(config_files(repository, IMAGE_ENCODER)[0], [1, 2])
    with pytest.raises(ConfigurationError, match=r"do not agree.*cpu\.pbtxt"):
        served_versions(repository)


def test_another_image_needs_a_repository_of_its_own(repository, other):
    card = newest(other).card
    card.write_text(card.read_text().replace('"window_s": 10.0', '"window_s": 5.0'))
    with pytest.raises(ConfigurationError, match=r"takes images of.*of its own"):
        install(newest(other), repository)


def test_a_version_without_engines_does_not_come_beside_one_with(repository, other):
    (ModelVersion(repository, 1).folder(TEXT_ENCODER) / "model.plan").write_bytes(b"plan")
    with pytest.raises(ConfigurationError, match=r"no model\.plan for report_text_encoder.*build"):
        install(newest(other), repository)


@pytest.mark.parametrize("name", ["novelty", "statements"])
def test_a_version_with_a_damaged_file_is_refused_before_it_is_copied(repository, other, name):
    path = getattr(newest(other), name)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ConfigurationError, match=rf"{path.name}: .*install the file that came"):
        install(newest(other), repository)
    assert len(model_versions(repository)) == 1


def test_a_version_whose_file_is_of_another_is_refused(repository, other):
    path = newest(other).novelty
    path.write_text(path.read_text().replace("cardex-other", "cardex-third"))
    with pytest.raises(VersionMismatch, match="belongs to model cardex-third"):
        install(newest(other), repository)
    assert len(model_versions(repository)) == 1


def test_the_same_version_with_other_files_is_not_taken_for_the_one_that_is_there(
    repository, other
):
    install(newest(other), repository)
    path = newest(other).statements
    path.write_text(path.read_text() + "\n")
    with pytest.raises(ConfigurationError, match=r"nothing was copied; put that file in place of"):
        install(newest(other), repository)
