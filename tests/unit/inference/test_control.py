import socket
from types import SimpleNamespace

import pytest
from tritonclient.utils import InferenceServerException

from cardex.domain.errors import Busy, ConfigurationError, TooSlow, Unavailable, VersionMismatch
from cardex.inference import control as module
from cardex.inference.control import Replica, replicas
from tests.helpers.fake_encoder import FakeEncoder


class Server:
    """tritonserver, as its client library shows it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.error: InferenceServerException | None = None

    def load_model(self, model, *, client_timeout):
        if self.error is not None:
            raise self.error

    def get_inference_statistics(self, model, triton_version, *, client_timeout):
        counts = (3, 4) if triton_version == "2" else ()
        stats = [
            SimpleNamespace(inference_stats=SimpleNamespace(success=SimpleNamespace(count=count)))
            for count in counts
        ]
        return SimpleNamespace(model_stats=stats)


@pytest.fixture
def replica(monkeypatch):
    monkeypatch.setattr("tritonclient.grpc.InferenceServerClient", Server)
    return Replica("10.0.0.1:8001", timeout_s=7.0)


def test_the_requests_of_a_version_are_counted(replica):
    assert (replica.asked("m", 2), replica.asked("m", 1)) == (7, 0)


def test_each_server_is_asked_itself_what_it_serves(replica, monkeypatch, tmp_path):
    def encoder(client, repository):
        assert (client, repository) == (("10.0.0.1:8001", 7.0), tmp_path)
        return FakeEncoder("cardex-1")

    monkeypatch.setattr(module, "TritonClient", lambda address, *, timeout_s: (address, timeout_s))
    monkeypatch.setattr(module, "TritonEncoder", encoder)
    assert replica.serves("cardex-1", tmp_path)
    assert not replica.serves("cardex-2", tmp_path)


@pytest.fixture
def failing(monkeypatch):
    """Let every look at what is served end with an error; `is_live` answers pings."""
    wanted = SimpleNamespace(error=None, is_live=True)

    def models(*, fresh=False):
        raise wanted.error

    def ping():
        if not wanted.is_live:
            raise Unavailable("down", reason="TRITON_UNAVAILABLE")

    client = SimpleNamespace(ping=ping)
    monkeypatch.setattr(module, "TritonClient", lambda *_, **__: client)
    monkeypatch.setattr(module, "TritonEncoder", lambda *_: SimpleNamespace(models=models))
    return wanted


NONE_READY = Unavailable("no version is ready", reason="TRITON_UNAVAILABLE")


@pytest.mark.parametrize(
    "error", [VersionMismatch("m1 beside m2"), ConfigurationError("no tokenizer"), NONE_READY]
)
def test_a_server_without_a_usable_version_serves_none(replica, failing, tmp_path, error):
    failing.error = error
    assert not replica.serves("cardex-1", tmp_path)


def test_a_server_that_is_down_is_unavailable(replica, failing, tmp_path):
    failing.error, failing.is_live = NONE_READY, False
    with pytest.raises(Unavailable, match="down"):
        replica.serves("cardex-1", tmp_path)


@pytest.mark.parametrize("error", [Busy("full"), TooSlow("10 s")])
def test_a_server_with_too_much_to_do_says_nothing_of_its_versions(
    replica, failing, tmp_path, error
):
    failing.error = error
    with pytest.raises(type(error)):
        replica.serves("cardex-1", tmp_path)


@pytest.mark.parametrize(
    ("status", "words", "kind", "said"),
    [
        ("StatusCode.UNAVAILABLE", "explicit model load / unload is not allowed if polling is "
         "enabled", ConfigurationError, "--model-control-mode=explicit"),
        ("StatusCode.UNAVAILABLE", "failed to connect", Unavailable, "10.0.0.1:8001"),
        ("StatusCode.DEADLINE_EXCEEDED", "Deadline Exceeded", Unavailable, "10.0.0.1:8001"),
        ("StatusCode.INTERNAL", "failed to load 'm', no version is available", ConfigurationError,
         "no version is available"),
    ],
)  # fmt: skip
def test_a_load_that_fails_says_where_and_why(replica, status, words, kind, said):
    replica._client.error = InferenceServerException(words, status=status)
    with pytest.raises(kind, match=said):
        replica.load("m")


@pytest.fixture
def names(monkeypatch):
    """A resolver of made-up names."""
    four, six = socket.AF_INET, socket.AF_INET6
    known = {
        "triton": [(four, "10.0.0.2"), (four, "10.0.0.1"), (four, "10.0.0.1")],
        "localhost": [(six, "::1"), (four, "127.0.0.1")],
        "::1": [(six, "::1")],
    }

    def getaddrinfo(host, port, *, type):  # noqa: A002
        if host not in known:
            raise socket.gaierror(-2, "Name or service not known")
        return [(family, type, 6, "", (address, port)) for family, address in known[host]]

    monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
    monkeypatch.setattr("tritonclient.grpc.InferenceServerClient", Server)


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("dns:///triton:8001", ["10.0.0.1:8001", "10.0.0.2:8001"]),
        ("triton:8001", ["10.0.0.1:8001", "10.0.0.2:8001"]),
        ("localhost:8001", ["127.0.0.1:8001"]),
        ("[::1]:8001", ["[::1]:8001"]),
        ("ipv4:10.0.0.5:1,10.0.0.6:2", ["10.0.0.5:1", "10.0.0.6:2"]),
    ],
)
def test_every_server_behind_a_name_is_found_once(names, url, addresses):
    assert [replica.address for replica in replicas(url, timeout_s=1.0)] == addresses


@pytest.mark.parametrize("url", ["nowhere:8001", "triton", "triton:grpc"])
def test_an_address_that_cannot_be_used_names_the_setting(names, url):
    with pytest.raises(Unavailable, match="CARDEX_TRITON_URL"):
        replicas(url, timeout_s=1.0)
