from dataclasses import replace
from types import SimpleNamespace

import pytest

from cardex.domain.errors import IndexMissing, Unavailable, VersionMismatch
from cardex.retrieval import active_index as module
from cardex.retrieval.active_index import ActiveIndex
from tests.helpers.fakes import FakeClock, FakeEncoder, FakeStore, calibration, model_info

TTL_S = 1.0


@pytest.fixture
def clock(monkeypatch):
    return FakeClock.installed(monkeypatch, module)


@pytest.fixture
def parts():
    return SimpleNamespace(encoder=FakeEncoder(), store=FakeStore())


@pytest.fixture
def catalogue(clock, parts):
    return ActiveIndex(parts.encoder, parts.store, ttl_s=TTL_S)


def test_an_edition_is_a_model_and_the_index_built_with_it(catalogue, parts):
    edition = catalogue.current()
    assert edition.model == model_info()
    assert edition.index == parts.store.current()


def test_it_is_not_looked_up_again_within_its_time(catalogue, parts, clock):
    catalogue.current()
    clock.now += TTL_S / 2
    catalogue.current()
    assert parts.store.calls == ["current"]


def test_it_is_looked_up_again_after_its_time(catalogue, parts, clock):
    catalogue.current()
    parts.store.touch(parts.store.index)
    clock.now += 2 * TTL_S
    assert catalogue.current().index.generation == "g1+"


def test_after_forget_it_is_looked_up_at_once(catalogue, parts):
    catalogue.current()
    parts.store.touch(parts.store.index)
    catalogue.forget()
    assert catalogue.current().index.generation == "g1+"


def test_an_index_of_another_model_is_refused_with_both_versions(parts):
    catalogue = ActiveIndex(parts.encoder, FakeStore("model-0"))
    with pytest.raises(VersionMismatch, match=r"model-1.*reports_1.*model-0"):
        catalogue.current()


def test_a_refusal_names_every_model_that_is_served(parts):
    parts.encoder.served = (model_info("model-2"), model_info("model-1"))
    catalogue = ActiveIndex(parts.encoder, FakeStore("model-0"))
    with pytest.raises(VersionMismatch, match=r"model-2 and model-1.*model-0"):
        catalogue.current()


def test_the_index_decides_which_of_the_served_models_answers(parts):
    parts.encoder.served = (model_info("model-2"), model_info("model-1"))
    catalogue = ActiveIndex(parts.encoder, parts.store, ttl_s=-1.0)
    assert catalogue.current().model.version == "model-1"
    parts.store.index = replace(parts.store.index, model_version="model-2")
    assert catalogue.current().model.version == "model-2"


def test_a_model_that_was_deployed_just_now_is_found(catalogue, parts):
    parts.store.index = replace(parts.store.index, model_version="model-2")
    parts.encoder.arriving = (model_info("model-2"),)
    assert catalogue.current().model.version == "model-2"


def test_the_server_is_not_asked_anew_for_a_model_that_is_known(catalogue, parts):
    catalogue.current()
    assert parts.encoder.looks == 0


def test_a_missing_index_and_a_part_that_is_down_are_told_apart(catalogue, parts):
    index, parts.store.index = parts.store.index, None
    with pytest.raises(IndexMissing):
        catalogue.current()
    parts.store.index, parts.encoder.error = index, Unavailable("Triton is down")
    with pytest.raises(Unavailable, match="Triton is down"):
        catalogue.current()


def test_a_failed_look_up_is_tried_again_at_the_next_call(catalogue, parts):
    parts.store.error = Unavailable("Milvus is down")
    with pytest.raises(Unavailable):
        catalogue.current()
    parts.store.error = None
    assert catalogue.current().index.name == "reports_1"


def test_the_last_edition_is_known_while_a_part_is_down(catalogue, parts, clock):
    edition = catalogue.current()
    parts.encoder.error = Unavailable("Triton is down")
    clock.now += 2 * TTL_S
    assert catalogue.last_known() == edition


def test_no_edition_is_known_before_the_first(catalogue, parts):
    parts.encoder.error = Unavailable("Triton is down")
    assert catalogue.last_known() is None


def test_the_last_known_edition_is_the_one_in_force_while_all_is_well(catalogue, parts, clock):
    catalogue.current()
    parts.store.touch(parts.store.index)
    clock.now += 2 * TTL_S
    assert catalogue.last_known().index.generation == "g1+"


# Calibrated statements.


def calibrated(parts) -> ActiveIndex:
    """A catalogue of statements that say which model they are of."""
    return ActiveIndex(
        parts.encoder,
        parts.store,
        lambda model: calibration("AFIB", "SR", version=model.version),
        ttl_s=-1.0,
    )


def test_the_prompts_are_embedded_once(parts):
    catalogue = calibrated(parts)
    first = catalogue.current()
    assert catalogue.current().predictor is first.predictor
    assert parts.encoder.texts == [["AFIB", "SR"]]


def test_the_statements_are_those_of_the_model_in_force(parts):
    catalogue = calibrated(parts)
    for version in ("model-1", "model-2"):
        parts.encoder.served = (model_info("model-2"), model_info("model-1"))
        parts.store.index = replace(parts.store.index, model_version=version)
        assert catalogue.current().calibration.model_version == version
    assert parts.encoder.asked == ["model-1", "model-2"]


def test_statements_that_do_not_fit_are_asked_for_again(parts):
    fit = False

    def statements_of(model):
        if not fit:
            raise VersionMismatch("statements of another model")
        return calibration("AFIB")

    catalogue = ActiveIndex(parts.encoder, parts.store, statements_of, ttl_s=-1.0)
    with pytest.raises(VersionMismatch, match="statements of another model"):
        catalogue.current()
    fit = True
    assert catalogue.current().predictor is not None


def test_everything_that_an_answer_depends_on_is_in_the_version(parts):
    plain = ActiveIndex(parts.encoder, parts.store, ttl_s=-1.0).current()
    parts.encoder.served = (model_info(matcher=True),)
    matching = ActiveIndex(parts.encoder, parts.store, ttl_s=-1.0).current()
    assert len({plain.version, matching.version, calibrated(parts).current().version}) == 3
