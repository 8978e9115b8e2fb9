from typing import Any

import pytest

from cardex.api.bind import check_bind, is_loopback, server_credentials
from cardex.domain.errors import ConfigurationError
from cardex.domain.settings import Settings


@pytest.mark.parametrize(
    ("bind", "loopback"),
    [
        ("127.0.0.1:50051", True),
        ("127.8.9.10:50051", True),
        ("localhost:50051", True),
        ("[::1]:50051", True),
        ("unix:/run/cardex.sock", True),
        ("0.0.0.0:50051", False),
        ("[::]:50051", False),
        (":50051", False),
        ("192.168.1.4:50051", False),
        ("[2001:db8::1]:50051", False),
        ("gateway:50051", False),
        ("localhost.example.org:50051", False),
        ("127.0.0.1.example.org:50051", False),
        ("dns:///gateway:50051", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(bind, loopback):
    assert is_loopback(bind) is loopback


@pytest.mark.parametrize("bind", ["127.0.0.1:1", "unix:/run/cardex.sock"])
def test_this_machine_alone_needs_no_keys(bind):
    check_bind(bind, Settings())


TLS: dict[str, Any] = {"tls_cert": "cert.pem", "tls_key": "key.pem"}


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, "CARDEX_TLS_CERT, CARDEX_TLS_KEY, CARDEX_API_KEYS"),
        (TLS, "CARDEX_API_KEYS"),
        ({"api_keys": "keys.toml"}, "CARDEX_TLS_CERT, CARDEX_TLS_KEY"),
        ({"api_keys": "keys.toml", "tls_cert": "cert.pem"}, "CARDEX_TLS_KEY"),
    ],
)
def test_an_open_address_is_refused_with_what_is_missing(given, missing):
    with pytest.raises(ConfigurationError, match=f"set {missing} ") as caught:
        check_bind("0.0.0.0:50051", Settings(**given))
    assert caught.value.reason == "DOOR_OPEN"


def test_an_open_address_with_tls_and_keys_is_served():
    check_bind("0.0.0.0:50051", Settings(**TLS, api_keys="keys.toml"))


def test_an_open_address_is_served_where_somebody_says_so():
    check_bind("0.0.0.0:50051", Settings(insecure=True))


def test_without_a_certificate_there_is_no_tls():
    assert server_credentials(Settings()) is None


def test_a_certificate_that_cannot_be_read_stops_the_start(tmp_path):
    settings = Settings(tls_cert=tmp_path / "none.pem", tls_key=tmp_path / "none.pem")
    with pytest.raises(ConfigurationError, match=r"none\.pem"):
        server_credentials(settings)
