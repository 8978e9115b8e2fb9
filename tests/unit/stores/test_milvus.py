import grpc
import pytest
from pymilvus.client import grpc_handler

from cardex.stores.milvus import connect


class Opened(Exception):
    """Holds the options of the channel that would be opened."""


def test_the_server_is_pinged_no_more_than_grpc_lets_it(monkeypatch):
    def opened(target: str, options: list) -> grpc.Channel:
        raise Opened(target, dict(options))

    monkeypatch.setattr(grpc_handler.grpc, "insecure_channel", opened)
    with pytest.raises(Opened) as raised:
        connect("http://127.0.0.1:1")
    target, options = raised.value.args
    assert target == "127.0.0.1:1"
    assert options["grpc.keepalive_permit_without_calls"] == 0
    assert options["grpc.keepalive_time_ms"] >= 300_000
