import secrets
from collections.abc import Iterator

import grpc
import pytest

from cardex.api.pb.v1 import ecg_retrieval_pb2_grpc, report_index_pb2_grpc
from cardex.domain.settings import Settings
from cardex.local_stack.ports import free_ports
from cardex.local_stack.stack import Stack
from cardex.local_stack.valkey import ValkeyConfig, valkey_process
from tests.helpers.real import reports
from tests.helpers.stack import build_index, running_stack


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Settings]]:
    """The whole stack with all distinct PTB-XL reports indexed."""
    with running_stack(tmp_path_factory.mktemp("stack")) as (stack, settings):
        build_index(settings, reports())
        yield stack, settings


@pytest.fixture(scope="session")
def stack(running: tuple[Stack, Settings]) -> Stack:
    return running[0]


@pytest.fixture(scope="session")
def settings(running: tuple[Stack, Settings]) -> Settings:
    return running[1]


@pytest.fixture(scope="session")
def channel(settings: Settings) -> Iterator[grpc.Channel]:
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(settings.gateway_target, options) as channel:
        yield channel


@pytest.fixture(scope="session")
def ecgs(channel: grpc.Channel) -> ecg_retrieval_pb2_grpc.EcgRetrievalServiceStub:
    return ecg_retrieval_pb2_grpc.EcgRetrievalServiceStub(channel)


@pytest.fixture(scope="session")
def index(channel: grpc.Channel) -> report_index_pb2_grpc.ReportIndexServiceStub:
    return report_index_pb2_grpc.ReportIndexServiceStub(channel)


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a Valkey with state's settings and nothing in it; yields its URL."""
    folder = tmp_path_factory.mktemp("valkey")
    config = ValkeyConfig("state", free_ports(1)[0], secrets.token_hex(8), folder, "256mb")
    part = valkey_process(config, folder / "log")
    part.start()
    try:
        part.wait_ready()
        yield config.url
    finally:
        part.stop()
