from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig
from tritonclient.utils import InferenceServerException

from cardex.domain.circuit import Circuit
from cardex.domain.errors import Busy, ConfigurationError, TooSlow, Unavailable
from cardex.inference import triton_client as module
from cardex.inference.triton_client import InferenceRequest, TritonClient
from tests.helpers.fake_clock import FakeClock

TIMEOUT_S = 10.0
UNAVAILABLE = "StatusCode.UNAVAILABLE"


class Client:
    """tritonclient's client: each call meets the next error, or gives the answer."""

    def __init__(self) -> None:
        self.options: dict[str, object] = {}
        self.errors: list[Exception] = []
        self.lasting: Exception | None = None
        self.answer: np.ndarray | None = np.zeros((2, 4), dtype=np.float32)
        self.calls: list[SimpleNamespace] = []
        self.meanwhile = lambda: None
        self.live = True
        self.models: list[SimpleNamespace] = []

    def _meet(self) -> None:
        error = self.errors.pop(0) if self.errors else self.lasting
        if error is not None:
            raise error

    def infer(self, model, inputs, **options):
        self.calls.append(SimpleNamespace(model=model, inputs=inputs, **options))
        self.meanwhile()
        self._meet()
        return SimpleNamespace(as_numpy=lambda _: self.answer)

    def is_server_live(self, *, client_timeout):
        self._meet()
        return self.live

    def get_model_repository_index(self, *, client_timeout):
        self._meet()
        return SimpleNamespace(models=self.models)

    def get_model_config(self, model, *, client_timeout):
        self._meet()
        return SimpleNamespace(config=ModelConfig(name=model))


@pytest.fixture
def clock(monkeypatch):
    clock = FakeClock.installed(monkeypatch, module)
    patient = partial(Circuit, clock=clock.monotonic, sleep=clock.sleep)
    monkeypatch.setattr(module, "Circuit", patient)
    return clock


@pytest.fixture
def client(monkeypatch, clock):
    client = Client()

    def connect(url, *, channel_args):
        client.options = {"url": url, **dict(channel_args)}
        return client

    monkeypatch.setattr("tritonclient.grpc.InferenceServerClient", connect)
    return client


@pytest.fixture
def server(client):
    return TritonClient("triton:8001", timeout_s=TIMEOUT_S)


def call(**changes) -> InferenceRequest:
    image = np.zeros((2, 3), dtype=np.uint8)
    return replace(InferenceRequest("encoder", 2, {"image": image}, "embedding", 1), **changes)


def error(message: str = "failed to connect", status: str = UNAVAILABLE):
    return InferenceServerException(message, status=status)


# A call.


def test_a_call_reaches_the_version_that_it_names(server, client):
    server.infer(call())
    (sent,) = client.calls
    assert (sent.model, sent.model_version, sent.priority) == ("encoder", "2", 1)
    (image,) = sent.inputs
    assert (image.name(), image.datatype(), image.shape()) == ("image", "UINT8", [2, 3])
    assert [output.name() for output in sent.outputs] == ["embedding"]


def test_an_answer_is_float32_whatever_the_model_gives(server, client):
    client.answer = np.ones((2, 4), dtype=np.float16)
    found = server.infer(call())
    assert (found.shape, found.dtype) == ((2, 4), np.float32)


@pytest.mark.parametrize("answer", [None, np.empty((0,)), np.empty((0, 4)), np.zeros((3, 4))])
def test_an_answer_of_other_rows_than_were_sent_is_refused_with_the_remedy(server, client, answer):
    client.answer = answer
    with pytest.raises(
        ConfigurationError, match=r"encoder returned.*\(2, 3\).*numpy<2.*make setup"
    ):
        server.infer(call())


def test_replicas_behind_one_name_are_used_in_turn(server, client):
    assert client.options["url"] == "triton:8001"
    assert client.options["grpc.lb_policy_name"] == "round_robin"


# The deadline.


def test_triton_hears_how_long_it_has_in_microseconds(server, client):
    server.infer(call())
    (sent,) = client.calls
    assert (sent.client_timeout, sent.timeout) == (TIMEOUT_S, 10_000_000)


def test_all_attempts_share_one_deadline(server, client, clock):
    client.errors = [error(), error()]
    began = clock.now
    server.infer(call())
    left = [sent.client_timeout for sent in client.calls]
    assert len(left) == 3
    assert left[0] > left[1] > left[2] == pytest.approx(TIMEOUT_S - (clock.now - began))
    assert [sent.timeout for sent in client.calls] == [int(one * 1e6) for one in left]


def test_when_the_time_is_over_nothing_is_sent_any_more(server, client, clock):
    client.lasting, client.meanwhile = error(), lambda: clock.sleep(TIMEOUT_S)
    with pytest.raises(TooSlow, match="encoder did not answer within 10 s") as caught:
        server.infer(call())
    assert len(client.calls) == 1
    assert caught.value.retry_after_s


def test_the_time_that_a_call_waits_for_its_turn_is_taken_off(server, client, clock, monkeypatch):
    class Turnstile:
        def acquire(self, timeout: float) -> bool:
            clock.sleep(timeout - 1.0)
            return True

        def release(self) -> None: ...

    monkeypatch.setattr(server, "_slots", Turnstile())
    server.infer(call())
    assert [sent.timeout for sent in client.calls] == [1_000_000]


# Calls at a time.


def test_a_call_too_many_is_told_which_setting_bounds_it(client):
    server = TritonClient("triton:8001", timeout_s=0.01, in_flight=2)
    refused = []

    def one_more() -> None:
        try:
            server.infer(call())
        except Busy as busy:
            refused.append(busy)

    client.meanwhile = one_more
    server.infer(call())
    (busy,) = refused
    assert "2 calls to Triton are in flight: raise CARDEX_TRITON_IN_FLIGHT" in busy.message
    assert busy.retry_after_s
    assert len(client.calls) == 2


def test_a_call_that_failed_leaves_its_place_to_the_next(client):
    server = TritonClient("triton:8001", timeout_s=0.01, in_flight=1)
    client.errors = [error(status="StatusCode.INVALID_ARGUMENT")]
    with pytest.raises(ConfigurationError):
        server.infer(call())
    assert server.infer(call()).shape == (2, 4)


# What Triton's errors mean: status, message, error, attempts.

REFUSALS = [
    (UNAVAILABLE, "failed to connect to all addresses", Unavailable, 3),
    (UNAVAILABLE, "unknown model: 'encoder' version 2 is not at ready state", Unavailable, 3),
    ("StatusCode.NOT_FOUND", "unknown model", Unavailable, 3),
    ("StatusCode.CANCELLED", "Channel closed!", Unavailable, 3),
    (None, "", Unavailable, 3),
    (UNAVAILABLE, "[request id: 1] Exceeds maximum queue size", Busy, 1),
    ("StatusCode.RESOURCE_EXHAUSTED", "too many pings", Busy, 1),
    (UNAVAILABLE, "[request id: 1] Request timeout expired", TooSlow, 1),
    ("StatusCode.DEADLINE_EXCEEDED", "Deadline Exceeded", TooSlow, 1),
    ("StatusCode.INVALID_ARGUMENT", "unexpected shape for input 'image'", ConfigurationError, 1),
]  # fmt: skip


@pytest.fixture(params=REFUSALS, ids=lambda row: f"{row[0]} {row[1][:30]}")
def refusal(request, client):
    status, words, kind, attempts = request.param
    client.lasting = error(words, status)
    return SimpleNamespace(words=words, kind=kind, attempts=attempts)


def test_an_error_of_triton_says_what_to_do_about_it(server, refusal):
    with pytest.raises(refusal.kind) as caught:
        server.infer(call())
    assert type(caught.value) is refusal.kind
    assert refusal.words in caught.value.message
    assert isinstance(caught.value.__cause__, InferenceServerException)


def test_what_may_pass_comes_with_a_delay(server, refusal):
    with pytest.raises(refusal.kind) as caught:
        server.infer(call())
    assert bool(caught.value.retry_after_s) == issubclass(refusal.kind, Unavailable)


def test_only_a_call_that_no_answer_can_come_to_is_tried_again(server, client, refusal):
    with pytest.raises(refusal.kind):
        server.infer(call())
    assert len(client.calls) == refusal.attempts


def test_only_a_server_that_may_be_another_one_now_counts_as_failed(server, refusal):
    with pytest.raises(refusal.kind):
        server.infer(call())
    assert server.failures == (3 if refusal.kind is Unavailable else 0)


def test_a_model_that_fails_to_compute_is_unavailable_with_a_delay(server, client):
    client.lasting = error("onnx runtime error 2", "StatusCode.INTERNAL")
    with pytest.raises(Unavailable, match="onnx runtime error 2") as caught:
        server.infer(call())
    assert caught.value.retry_after_s


def test_a_version_that_fails_to_compute_does_not_stop_the_others(server, client):
    client.errors = [error("onnx runtime error 2", "StatusCode.INTERNAL")] * 3
    with pytest.raises(Unavailable):
        server.infer(call(triton_version=2))
    client.errors.clear()
    assert server.infer(call(triton_version=1)).shape == (2, 4)


def test_a_server_whose_model_fails_to_compute_is_the_same_server(server, client):
    client.lasting = error("onnx runtime error 2", "StatusCode.INTERNAL")
    with pytest.raises(Unavailable):
        server.infer(call())
    assert server.failures == 0


def test_a_server_that_keeps_failing_is_not_called_any_more(server, client):
    client.lasting = error()
    for _ in range(2):
        with pytest.raises(Unavailable):
            server.infer(call())
    assert len(client.calls) == 3


def test_a_server_that_is_full_is_called_again_at_once(server, client):
    client.errors = [error("Exceeds maximum queue size")] * 4
    for _ in range(4):
        with pytest.raises(Busy):
            server.infer(call())
    assert server.infer(call()).shape == (2, 4)


# Questions about the server itself.


def test_only_versions_that_can_be_called_are_ready(server, client):
    client.models = [
        SimpleNamespace(name=name, version=version, state=state)
        for name, version, state in [
            ("encoder", "1", "READY"),
            ("encoder", "12", "READY"),
            ("encoder", "3", "UNAVAILABLE"),
            ("encoder", "4", "LOADING"),
            ("matcher", "", ""),
            ("stat", "2", "READY"),
        ]
    ]
    assert server.ready_versions() == {"encoder": {1, 12}, "stat": {2}}


def test_a_configuration_is_that_of_the_model(server):
    assert server.config("encoder").name == "encoder"


@pytest.mark.parametrize("ask", ["ready_versions", "config"])
def test_a_question_is_asked_again_where_the_server_fails_once(server, client, ask):
    client.errors = [error()]
    getattr(server, ask)(*["encoder"] * (ask == "config"))
    assert server.failures == 1


def test_a_server_that_is_live_answers_a_ping(server):
    server.ping()
    assert server.failures == 0


def test_a_server_that_is_not_live_is_unavailable_and_may_be_another_one(server, client):
    client.live = False
    with pytest.raises(Unavailable, match="not live") as caught:
        server.ping()
    assert caught.value.reason == "TRITON_UNAVAILABLE"
    assert server.failures == 1


def test_a_server_that_does_not_answer_is_asked_once_for_a_ping(server, client):
    client.lasting = error()
    with pytest.raises(Unavailable):
        server.ping()
    assert server.failures == 1


def test_a_ping_goes_past_the_circuit(server, client):
    client.errors = [error()] * 3
    with pytest.raises(Unavailable):
        server.infer(call())
    server.ping()
