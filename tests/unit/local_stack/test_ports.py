import socket

import pytest

from cardex.domain.errors import ConfigurationError
from cardex.local_stack.ports import HOST, check_free, free_ports, listening


@pytest.fixture
def taken():
    """A port on which something listens."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        sock.listen()
        yield sock.getsockname()[1]


def test_free_ports_are_all_different():
    ports = free_ports(20)
    assert len(set(ports)) == 20


def test_free_ports_can_be_bound():
    for port in free_ports(3):
        with socket.socket() as sock:
            sock.bind((HOST, port))


def test_a_free_address_passes():
    check_free(f"{HOST}:{free_ports(1)[0]}", "--web-port")


def test_a_taken_address_is_refused_with_the_option_that_changes_it(taken):
    with pytest.raises(ConfigurationError, match=rf"{HOST}:{taken} .*with --web-port") as caught:
        check_free(f"{HOST}:{taken}", "--web-port")
    assert caught.value.reason == "PORT_TAKEN"


@pytest.mark.parametrize(
    "bind",
    ["127.0.0.1:70000", "127.0.0.1:http", "127.0.0.1:", "256.1.1.1:1"],
)
def test_an_address_that_is_none_is_refused(bind):
    with pytest.raises(ConfigurationError, match="--web-port"):
        check_free(bind, "--web-port")


def test_a_port_is_listening_while_something_accepts(taken):
    assert listening(taken)
    assert not listening(free_ports(1)[0])
