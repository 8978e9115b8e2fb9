import json
import logging
from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np
import pytest

from cardex.domain.errors import (
    ConfigurationError,
    TooSlow,
    Unavailable,
    VersionMismatch,
)
from cardex.domain.jobs import Priority
from cardex.inference.probe import probe_image, probe_tokens
from cardex.inference.repository import IMAGE_ENCODER, MATCHER, MODELS, STAT_INSTANCE, TEXT_ENCODER
from cardex.inference.triton_client import InferenceRequest
from cardex.inference.triton_encoder import TritonEncoder
from tests.helpers.unit_models import (
    LARGEST,
    LENGTH,
    PROBE,
    SPEC,
    add_version,
    change,
    install,
    small_configs,
)


@dataclass
class Server:
    """The TritonClient: each model answers its probe, and one component counts a call's rows."""

    configs: dict = field(default_factory=small_configs)
    ready: dict[str, set[int]] = field(default_factory=dict)
    failures: int = 0
    looks: int = 0
    calls: list[InferenceRequest] = field(default_factory=list)
    broken: dict[int, Exception] = field(default_factory=dict)

    def serve(self, triton_version: int, version: str, models=MODELS) -> None:
        add_version(self.configs, triton_version, version)
        for model in models:
            self.ready.setdefault(model, set()).add(triton_version)

    def stop(self, triton_version: int, model: str) -> None:
        self.ready[model].discard(triton_version)

    def ping(self) -> None:
        self.looks += 1

    def ready_versions(self) -> dict[str, set[int]]:
        self.looks += 1
        return {model: set(self.ready.get(model, ())) for model in MODELS}

    def config(self, model: str):
        return deepcopy(self.configs[model])

    def infer(self, call: InferenceRequest) -> np.ndarray:
        self.calls.append(call)
        if call.triton_version in self.broken:
            raise self.broken[call.triton_version]
        rows = len(next(iter(call.inputs.values())))
        if call.model == MATCHER:
            reports = call.inputs["token_ids"].shape[1]
            return np.tile(np.arange(reports, dtype=np.float32), (rows, 1))
        embedding = np.tile(np.array(PROBE, np.float32), (rows, 1))
        embedding[:, 1] += np.arange(rows) / 1000
        return embedding

    def sent(self) -> list[tuple[str, int, int]]:
        """Return model, version and rows of each call, and forget them."""
        found = [
            (call.model, call.triton_version, len(next(iter(call.inputs.values()))))
            for call in self.calls
        ]
        self.calls.clear()
        return found


@pytest.fixture
def server():
    """One version of every model."""
    server = Server()
    server.serve(1, "m1")
    return server


@pytest.fixture
def encoder(server, tmp_path):
    for triton_version in (1, 2, 3):
        install(tmp_path, triton_version)
    return TritonEncoder(server, tmp_path)


@pytest.fixture
def model(encoder, server):
    """The one model that is served; the probes of looking are not counted."""
    (model,) = encoder.models()
    server.calls.clear()
    return model


def images(count: int) -> np.ndarray:
    return np.zeros((count, *SPEC.shape), dtype=np.uint8)


def without(server, model: str) -> None:
    del server.ready[model]


def versions(encoder, **options) -> list[str]:
    return [model.version for model in encoder.models(**options)]


# What is served.


def test_a_model_is_its_version_its_image_and_its_dimension(encoder):
    (model,) = encoder.models()
    assert (model.version, model.image_spec, model.dimension) == ("m1", SPEC, 4)
    assert (model.matcher, model.triton_version) == (True, 1)


def test_several_versions_are_told_newest_first(encoder, server):
    server.serve(10, "m10")
    server.serve(2, "m2")
    install(encoder._repository, 10)
    assert versions(encoder) == ["m10", "m2", "m1"]


@pytest.mark.parametrize("model", [IMAGE_ENCODER, TEXT_ENCODER])
def test_a_version_is_served_where_both_encoders_are_ready(encoder, server, model):
    server.serve(2, "m2", [model])
    assert versions(encoder) == ["m1"]


def test_a_matcher_that_is_not_ready_is_none_of_its_version(encoder, server):
    server.serve(2, "m2", [IMAGE_ENCODER, TEXT_ENCODER])
    assert [(model.version, model.matcher) for model in encoder.models()] == [
        ("m2", False),
        ("m1", True),
    ]


def test_every_encoder_and_the_lane_are_probed_before_they_are_trusted(encoder, server):
    encoder.models()
    assert [call.model for call in server.calls] == [IMAGE_ENCODER, STAT_INSTANCE, TEXT_ENCODER]
    image, stat, text = (next(iter(call.inputs.values())) for call in server.calls)
    np.testing.assert_array_equal(image, probe_image(SPEC.shape))
    np.testing.assert_array_equal(stat, probe_image(SPEC.shape))
    np.testing.assert_array_equal(text, probe_tokens(LENGTH))


@pytest.mark.parametrize("model", [IMAGE_ENCODER, STAT_INSTANCE, TEXT_ENCODER])
def test_a_wrong_answer_to_the_known_input_is_refused(encoder, server, monkeypatch, model):
    right = server.infer
    monkeypatch.setattr(
        server, "infer", lambda call: right(call) * (-1 if call.model == model else 1)
    )
    with pytest.raises(ConfigurationError, match=f"{model} answers its known input") as caught:
        encoder.models()
    assert caught.value.reason == "PROBE_FAILED"


def test_where_nothing_is_ready_it_says_so(encoder, server):
    without(server, TEXT_ENCODER)
    with pytest.raises(Unavailable, match="no version of ecg_image_encoder") as caught:
        encoder.models()
    assert caught.value.reason == "TRITON_UNAVAILABLE"
    assert caught.value.retry_after_s


# A candidate that is broken.


def spoil(server) -> None:
    """Serve a version 2 that answers its known input wrongly."""
    server.serve(2, "m2")
    change(server.configs, IMAGE_ENCODER, 2, probe=json.dumps([0.9, 0.1, 0.1, 0.1]))


def test_a_broken_candidate_does_not_take_the_good_one_down(encoder, server):
    spoil(server)
    assert versions(encoder) == ["m1"]


def test_a_broken_candidate_is_told_in_the_log(encoder, server, caplog):
    spoil(server)
    with caplog.at_level(logging.WARNING):
        encoder.models()
    assert "version 2 is not used: ecg_image_encoder answers its known input" in caplog.text


def test_a_candidate_without_its_tokenizer_here_is_not_used(encoder, server):
    server.serve(4, "m4")
    assert versions(encoder) == ["m1"]


def test_a_candidate_of_mixed_versions_is_not_used(encoder, server):
    server.serve(2, "m2")
    change(server.configs, TEXT_ENCODER, 2, model_version="m9")
    assert versions(encoder) == ["m1"]


def test_a_candidate_that_fails_to_compute_does_not_take_the_good_one_down(encoder, server):
    server.serve(2, "m2")
    server.broken[2] = Unavailable("Triton: StatusCode.INTERNAL: onnx runtime error")
    assert versions(encoder) == ["m1"]


def test_where_all_are_broken_the_first_error_is_told(encoder, server):
    spoil(server)
    change(server.configs, MATCHER, 1, model_version="m9")
    with pytest.raises(VersionMismatch, match=r"ecg_image_encoder m1 beside ecg_report_matcher m9"):
        encoder.models()


def test_a_server_that_goes_down_while_it_is_looked_at_is_unavailable(encoder, server):
    server.broken[1] = Unavailable("Triton is down")
    with pytest.raises(Unavailable, match="Triton is down"):
        encoder.models()


# When the server is asked again.


def test_models_are_asked_for_once(encoder, server):
    assert encoder.models() == encoder.models()
    assert server.looks == 1


def test_a_version_that_came_is_found_by_a_fresh_look(encoder, server):
    encoder.models()
    server.serve(2, "m2")
    assert versions(encoder) == ["m1"]
    assert versions(encoder, fresh=True) == ["m2", "m1"]
    assert versions(encoder) == ["m2", "m1"]


def test_after_a_failure_the_server_is_asked_again(encoder, server):
    encoder.models()
    server.configs = small_configs()
    server.serve(1, "m7")
    server.failures += 1
    assert versions(encoder) == ["m7"]
    assert versions(encoder) == ["m7"]
    assert server.looks == 2


def test_a_failure_during_the_look_is_a_reason_to_look_again(encoder, server, monkeypatch):
    right = server.infer

    def fails_meanwhile(call):
        server.failures += 1
        return right(call)

    monkeypatch.setattr(server, "infer", fails_meanwhile)
    encoder.models()
    monkeypatch.setattr(server, "infer", right)
    encoder.models()
    encoder.models()
    assert server.looks == 2


def test_a_look_that_failed_is_tried_again(encoder, server):
    server.broken[1] = TooSlow("no answer in time")
    with pytest.raises(TooSlow):
        encoder.models()
    server.broken.clear()
    assert versions(encoder) == ["m1"]


def test_a_version_that_is_gone_is_unavailable(encoder, server, model):
    server.serve(2, "m2")
    server.stop(1, IMAGE_ENCODER)
    encoder.models(fresh=True)
    for ask in (
        lambda: encoder.embed_images(model, images(1), Priority.STAT),
        lambda: encoder.embed_texts(model, ["paced"], Priority.STAT),
        lambda: encoder.match(model, images(1), [["paced"]], Priority.STAT),
    ):
        with pytest.raises(Unavailable, match="serves m1 no more") as caught:
            ask()
        assert caught.value.reason == "MODEL_GONE"
        assert caught.value.retry_after_s


def test_a_number_that_stands_for_another_model_by_now_is_not_called(encoder, server, model):
    server.serve(1, "m7")
    encoder.models(fresh=True)
    with pytest.raises(Unavailable, match="serves m1 no more"):
        encoder.embed_images(model, images(1), Priority.STAT)


def test_a_version_is_probed_once_however_often_it_is_looked_at(encoder, server):
    encoder.models()
    probes = len(server.calls)
    encoder.models(fresh=True)
    assert len(server.calls) == probes


def test_after_a_failure_of_the_server_every_version_is_probed_again(encoder, server):
    encoder.models()
    probes = len(server.calls)
    server.failures += 1
    encoder.models()
    assert len(server.calls) == 2 * probes


# Calls.


def test_each_model_is_called_by_its_own_number(encoder, server):
    server.serve(2, "m2")
    newest, oldest = encoder.models()
    server.calls.clear()
    encoder.embed_images(oldest, images(1), Priority.ROUTINE)
    encoder.embed_texts(newest, ["paced"], Priority.ROUTINE)
    encoder.match(oldest, images(1), [["paced"]], Priority.ROUTINE)
    assert server.sent() == [(IMAGE_ENCODER, 1, 1), (TEXT_ENCODER, 2, 1), (MATCHER, 1, 1)]


def test_stat_goes_to_the_lane(encoder, server, model):
    encoder.embed_images(model, images(2), Priority.STAT)
    (call,) = server.calls
    assert (call.model, call.priority) == (STAT_INSTANCE, 0)


def test_stat_goes_first_where_there_is_no_lane(encoder, server):
    without(server, STAT_INSTANCE)
    (model,) = encoder.models()
    server.calls.clear()
    encoder.embed_images(model, images(2), Priority.STAT)
    (call,) = server.calls
    assert (call.model, call.priority) == (IMAGE_ENCODER, 1)


def test_routine_never_takes_the_lane(encoder, server, model):
    encoder.embed_images(model, images(2), Priority.ROUTINE)
    (call,) = server.calls
    assert (call.model, call.priority) == (IMAGE_ENCODER, 2)


@pytest.mark.parametrize(("priority", "level"), [(Priority.STAT, 1), (Priority.ROUTINE, 2)])
def test_texts_and_matches_go_by_their_priority(encoder, server, model, priority, level):
    encoder.embed_texts(model, ["paced"], priority)
    encoder.match(model, images(1), [["paced"]], priority)
    assert [(call.model, call.priority) for call in server.calls] == [
        (TEXT_ENCODER, level),
        (MATCHER, level),
    ]


@pytest.mark.parametrize(
    ("priority", "count", "rows"),
    [
        (Priority.ROUTINE, 1, [1]),
        (Priority.ROUTINE, 32, [32]),
        (Priority.ROUTINE, 33, [32, 1]),
        (Priority.ROUTINE, 70, [32, 32, 6]),
        (Priority.STAT, 4, [4]),
        (Priority.STAT, 9, [4, 4, 1]),
    ],
)
def test_a_large_batch_goes_in_calls_of_the_model_s_largest(
    encoder, server, model, priority, count, rows
):
    assert encoder.embed_images(model, images(count), priority).shape == (count, 4)
    assert [sent for _, _, sent in server.sent()] == rows


def test_reports_go_in_calls_of_their_own_model_s_largest(encoder, server, model):
    assert encoder.embed_texts(model, ["paced"] * 17, Priority.ROUTINE).shape == (17, 4)
    assert server.sent() == [(TEXT_ENCODER, 1, LARGEST[TEXT_ENCODER]), (TEXT_ENCODER, 1, 1)]


def test_the_embeddings_of_several_calls_keep_their_order(encoder, model):
    embedding = encoder.embed_images(model, images(34), Priority.ROUTINE)
    assert embedding.dtype == np.float32
    np.testing.assert_allclose((embedding[:, 1] - 0.5) * 1000, [*range(32), *range(2)], atol=0.01)


def test_each_ecg_is_matched_with_its_own_reports_in_a_call_of_its_own(encoder, server, model):
    found = encoder.match(model, images(2), [["a", "b", "c"], ["d"]], Priority.STAT)
    assert [one.tolist() for one in found] == [[0.0, 1.0, 2.0], [0.0]]
    shapes = [{name: tensor.shape for name, tensor in call.inputs.items()} for call in server.calls]
    assert shapes == [
        {"image": (1, *SPEC.shape), "token_ids": (1, 3, LENGTH)},
        {"image": (1, *SPEC.shape), "token_ids": (1, 1, LENGTH)},
    ]


def test_a_ping_is_passed_on(encoder, server):
    encoder.ping()
    assert server.looks == 1
