import json
from types import SimpleNamespace

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from services.domain.errors import CardexError, ConfigurationError, Unavailable, VersionMismatch
from services.domain.jobs import Priority
from services.inference import triton as module
from services.inference.probe import probe_image
from services.inference.triton import (
    IMAGE_ENCODER,
    MATCHER,
    MAX_BATCH,
    TEXT_ENCODER,
    TritonEncoder,
)
from services.signals.spec import ImageSpec

PROBE = [0.5, 0.5, -0.5, -0.5]
FINGERPRINT = "f" * 64
SPEC = ImageSpec(tile=4)


def parameters(**changes: str) -> dict[str, dict[str, str]]:
    both = {"model_version": "m1", "probe": json.dumps(PROBE)}
    image = both | {"image_spec": SPEC.to_json()}
    text = both | {"tokenizer_sha256": FINGERPRINT, "length": "64"}
    return {IMAGE_ENCODER: image | changes, TEXT_ENCODER: text}


class Server:
    """tritonserver, as its client library shows it."""

    def __init__(self) -> None:
        self.parameters = parameters()
        self.error: InferenceServerException | None = None
        self.lasting = True
        self.failures = 0
        self.empty = False
        self.calls: list[SimpleNamespace] = []
        self.configs = 0
        self.matcher = False

    def is_model_ready(self, model, *, client_timeout):
        assert model == MATCHER
        return self.matcher

    def get_model_config(self, model, *, as_json, client_timeout):
        self.configs += 1
        if self.error:
            raise self.error
        found = {key: {"string_value": value} for key, value in self.parameters[model].items()}
        return {"config": {"parameters": found}}

    def infer(self, model, inputs, *, outputs, priority, timeout, client_timeout):
        if self.error:
            self.failures += 1
            error, self.error = self.error, self.error if self.lasting else None
            raise error
        count = inputs[0].shape()[0]
        shapes = {tensor.name(): tuple(tensor.shape()) for tensor in inputs}
        call = SimpleNamespace(model=model, count=count, priority=priority, shapes=shapes)
        self.calls.append(call)
        if model == MATCHER:
            log_odds = np.arange(shapes["token_ids"][1], dtype=np.float32)[None]
            return SimpleNamespace(as_numpy=lambda _: np.empty((0,)) if self.empty else log_odds)
        embedding = np.tile(np.array(PROBE, np.float32), (count, 1))
        embedding[:, 1] += np.arange(count) / 1000
        return SimpleNamespace(as_numpy=lambda _: np.empty((0,)) if self.empty else embedding)


class Tokenizer:
    fingerprint = FINGERPRINT

    def encode(self, texts):
        return np.zeros((len(texts), 64), dtype=np.int32)


@pytest.fixture
def server(monkeypatch):
    server = Server()
    monkeypatch.setattr(module.triton, "InferenceServerClient", lambda *_, **__: server)
    return server


@pytest.fixture
def encoder(server):
    return TritonEncoder("127.0.0.1:1", Tokenizer())


def down(status: str = "StatusCode.UNAVAILABLE") -> InferenceServerException:
    return InferenceServerException("failed to connect", status=status)


def images(count: int) -> np.ndarray:
    return np.zeros((count, *SPEC.shape), dtype=np.uint8)


def test_a_model_is_its_version_its_image_and_its_dimension(encoder):
    model = encoder.model()
    assert (model.version, model.image_spec, model.dimension) == ("m1", SPEC, 4)


def test_both_encoders_are_probed_before_they_are_trusted(encoder, server):
    encoder.model()
    assert [(call.model, call.count) for call in server.calls] == [
        (IMAGE_ENCODER, len(probe_image(SPEC.shape))),
        (TEXT_ENCODER, 1),
    ]


def test_a_model_is_asked_for_once(encoder, server):
    encoder.model()
    encoder.model()
    assert server.configs == 2


def test_after_a_failure_the_model_is_asked_for_again(encoder, server):
    encoder.model()
    server.error, server.lasting = down(), False
    encoder.embed_images(images(1), Priority.STAT)
    server.parameters = parameters(model_version="m2")
    server.parameters[TEXT_ENCODER]["model_version"] = "m2"
    assert encoder.model().version == "m2"


def test_a_call_that_fails_once_is_tried_again(encoder, server):
    server.error, server.lasting = down(), False
    assert encoder.embed_images(images(1), Priority.STAT).shape == (1, 4)
    assert server.failures == 1


def test_two_encoders_of_different_versions_are_refused_with_both(encoder, server):
    server.parameters = parameters(model_version="m2")
    with pytest.raises(VersionMismatch, match=r"ecg_image_encoder m2.*report_text_encoder m1"):
        encoder.model()


def test_another_tokenizer_is_refused_with_both_fingerprints(encoder, server):
    server.parameters[TEXT_ENCODER]["tokenizer_sha256"] = "e" * 64
    with pytest.raises(VersionMismatch, match=r"eeeeeeeeeeee.*ffffffffffff"):
        encoder.model()


def test_a_wrong_answer_to_the_known_input_is_refused(encoder, server):
    server.parameters = parameters(probe="[0.9, 0.1, 0.1, 0.1]")
    with pytest.raises(ConfigurationError) as caught:
        encoder.model()
    assert caught.value.reason == "PROBE_FAILED"


def test_the_empty_tensors_of_a_wrong_numpy_are_refused_with_the_remedy(encoder, server):
    server.empty = True
    with pytest.raises(ConfigurationError, match=r"numpy<2.*make setup"):
        encoder.embed_images(images(2), Priority.STAT)


@pytest.mark.parametrize("name", ["model_version", "probe", "image_spec"])
def test_a_parameter_that_is_missing_is_named(encoder, server, name):
    del server.parameters[IMAGE_ENCODER][name]
    with pytest.raises(ConfigurationError, match=f"ecg_image_encoder.*{name}"):
        encoder.model()


@pytest.mark.parametrize(
    ("name", "value"),
    [("image_spec", "{"), ("image_spec", '{"layout": "strip"}'), ("probe", "nothing")],
)
def test_a_parameter_that_cannot_be_read_is_an_error_of_the_tree(encoder, server, name, value):
    server.parameters = parameters(**{name: value})
    with pytest.raises(CardexError):
        encoder.model()


@pytest.mark.parametrize(
    ("count", "calls"), [(1, [1]), (32, [32]), (33, [32, 1]), (70, [32, 32, 6])]
)
def test_a_large_batch_goes_in_calls_of_the_largest_size(encoder, server, count, calls):
    embedding = encoder.embed_images(images(count), Priority.ROUTINE)
    assert [call.count for call in server.calls] == calls
    assert embedding.shape == (count, 4)
    assert max(calls) <= MAX_BATCH


def test_the_embeddings_of_several_calls_keep_their_order(encoder):
    embedding = encoder.embed_images(images(34), Priority.ROUTINE)
    assert embedding.dtype == np.float32
    expected = [*range(32), *range(2)]
    np.testing.assert_allclose((embedding[:, 1] - 0.5) * 1000, expected, atol=0.01)


@pytest.mark.parametrize(("priority", "level"), [(Priority.STAT, 1), (Priority.ROUTINE, 2)])
def test_stat_goes_before_routine(encoder, server, priority, level):
    encoder.embed_images(images(1), priority)
    assert server.calls[0].priority == level


def test_texts_are_routine(encoder, server):
    assert encoder.embed_texts(["sinus rhythm", "paced"]).shape == (2, 4)
    assert (server.calls[0].model, server.calls[0].priority) == (TEXT_ENCODER, 2)


def test_a_server_that_is_down_is_unavailable_with_a_delay(encoder, server):
    server.error = down()
    with pytest.raises(Unavailable) as caught:
        encoder.embed_images(images(1), Priority.STAT)
    assert caught.value.reason == "TRITON_UNAVAILABLE"
    assert caught.value.retry_after_s


def test_a_server_that_keeps_failing_is_not_called_any_more(encoder, server):
    server.error = down()
    for _ in range(2):
        with pytest.raises(Unavailable):
            encoder.embed_images(images(1), Priority.STAT)
    assert server.failures == 3


def test_an_input_that_the_server_does_not_take_is_a_wrong_configuration(encoder, server):
    server.error = down("StatusCode.INVALID_ARGUMENT")
    with pytest.raises(ConfigurationError, match="INVALID_ARGUMENT"):
        encoder.embed_images(images(1), Priority.STAT)
    assert server.failures == 1


# The matcher.


def test_a_repository_without_a_matcher_says_so(encoder):
    assert not encoder.model().matcher


def test_a_matcher_of_the_same_version_is_found(encoder, server):
    server.matcher = True
    server.parameters[MATCHER] = {"model_version": "m1"}
    assert encoder.model().matcher


def test_a_matcher_of_another_version_is_refused_with_both(encoder, server):
    server.matcher = True
    server.parameters[MATCHER] = {"model_version": "m2"}
    with pytest.raises(VersionMismatch, match=r"ecg_image_encoder m1.*ecg_report_matcher m2"):
        encoder.model()


def test_a_matcher_without_a_version_is_a_wrong_configuration(encoder, server):
    server.matcher = True
    server.parameters[MATCHER] = {}
    with pytest.raises(ConfigurationError, match=r"ecg_report_matcher.*model_version"):
        encoder.model()


def test_each_ecg_is_matched_with_its_own_reports_in_a_call_of_its_own(encoder, server):
    found = encoder.match(images(2), [["a", "b", "c"], ["d"]], Priority.STAT)
    assert [one.tolist() for one in found] == [[0.0, 1.0, 2.0], [0.0]]
    assert [call.shapes for call in server.calls] == [
        {"image": (1, *SPEC.shape), "token_ids": (1, 3, 64)},
        {"image": (1, *SPEC.shape), "token_ids": (1, 1, 64)},
    ]
    assert {call.priority for call in server.calls} == {1}


def test_a_match_that_is_not_there_for_each_report_is_refused(encoder, server):
    server.empty = True
    with pytest.raises(ConfigurationError, match=r"ecg_report_matcher.*numpy<2"):
        encoder.match(images(1), [["a", "b"]], Priority.STAT)
