import grpc
import pytest

from cardex.api.channel import channel_credentials, channel_options
from cardex.domain.errors import ConfigurationError
from cardex.domain.settings import Settings


@pytest.mark.parametrize(
    "target", ["127.0.0.1:50051", "localhost:1", "[::1]:1", "unix:/run/c.sock"]
)
def test_this_machine_is_called_without_tls(target):
    assert channel_credentials(Settings(gateway_target=target)) is None


@pytest.mark.parametrize("target", ["gateway:50051", "192.168.1.4:50051", "dns:///gateway:50051"])
def test_another_machine_is_called_with_tls(target):
    credentials = channel_credentials(Settings(gateway_target=target))
    assert isinstance(credentials, grpc.ChannelCredentials)


def test_another_machine_is_called_without_tls_only_where_somebody_says_so():
    assert channel_credentials(Settings(gateway_target="gateway:50051", insecure=True)) is None


def test_a_ca_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none\.pem"):
        channel_credentials(Settings(gateway_ca=tmp_path / "none.pem"))


def test_the_largest_payload_fits_through():
    options = dict(channel_options(Settings(max_payload_bytes=1024)))
    assert int(options["grpc.max_send_message_length"]) > 1024
