"""The gateway process."""

import asyncio
import logging
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from cardex.api.bind import check_bind, server_credentials
from cardex.api.channel import MARGIN_BYTES
from cardex.api.pb.v1 import report_index_pb2_grpc
from cardex.domain.errors import ConfigurationError
from cardex.domain.settings import Settings
from cardex.gateway.auth import AuthInterceptor
from cardex.gateway.ecg_retrieval import EcgRetrievalService
from cardex.gateway.health import INDEX, RETRIEVAL, HealthMonitor
from cardex.gateway.keys import KeyRing
from cardex.gateway.report_index import ReportIndexService
from cardex.gateway.submissions import SubmissionService
from cardex.gateway.threads import SlowCalls
from cardex.gateway.waiting import AnswerWaiter
from cardex.gateway.watches import JobWatches
from cardex.retrieval.dependencies import Dependencies, assemble
from cardex.stores.job_events import JobEvents
from cardex.telemetry.calls import server_interceptors
from cardex.telemetry.metrics import serve_metrics
from cardex.telemetry.probes import mark_alive, mark_ready, mark_starting, mark_stopping
from cardex.telemetry.tracing import start_tracing

logger = logging.getLogger(__name__)

SWITCH_S = 0.0005
"""How long a thread that takes in an archive may keep Python from the event loop."""
THREADS = 64
MAX_SOCKET_PATH = 107  # of sockaddr_un on Linux


def run_gateway(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: if an address is taken or may not be served with these settings.
    """
    mark_starting(settings)
    check_bind(settings.gateway_bind, settings)
    sys.setswitchinterval(SWITCH_S)
    serve_metrics(settings)
    start_tracing("gateway")
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="gateway"))
    keys = KeyRing(settings.api_keys) if settings.api_keys else None
    dependencies = assemble(settings)
    dependencies.active_index.start()
    events = JobEvents(settings.state_url)
    servicer = health.aio.HealthServicer()
    monitor = HealthMonitor(dependencies, servicer, keys, partial(mark_alive, settings))
    server = _server(settings, dependencies, events, monitor, servicer, keys)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    following = asyncio.create_task(events.follow())
    await monitor.tick()
    await server.start()
    mark_ready(settings)
    logger.info("gateway serves %s", settings.gateway_bind)
    tasks = [following, asyncio.create_task(monitor.run())]
    # A background task that dies takes the process with it: a gateway that sweeps no more is
    # broken.
    await asyncio.wait(
        [asyncio.create_task(stop.wait()), *tasks], return_when=asyncio.FIRST_COMPLETED
    )
    mark_stopping(settings)
    await servicer.enter_graceful_shutdown()
    await server.stop(settings.grace_s)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.result()
        task.cancel()
    await events.close()


def _server(
    settings: Settings,
    dependencies: Dependencies,
    events: JobEvents,
    monitor: HealthMonitor,
    servicer: health.aio.HealthServicer,
    keys: KeyRing | None,
) -> grpc.aio.Server:
    limit = settings.max_payload_bytes + MARGIN_BYTES
    options = [
        ("grpc.max_receive_message_length", limit),
        ("grpc.so_reuseport", 0),  # a taken port is an error, not a second server
        # A client that vanished without closing its connection must not hold a stream or a lock.
        ("grpc.keepalive_time_ms", int(settings.keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", int(settings.keepalive_s * 1000)),
        ("grpc.http2.ping_timeout_ms", int(settings.keepalive_s * 1000)),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ]
    slow = SlowCalls()
    submissions = SubmissionService(settings, dependencies, monitor)
    waiter = AnswerWaiter(submissions, dependencies.jobs, events, monitor)
    watches = JobWatches(dependencies.jobs, events)
    interceptors = [*server_interceptors(), AuthInterceptor(keys)]
    server = grpc.aio.server(interceptors=interceptors, options=options)
    ecgs = EcgRetrievalService(settings, dependencies, submissions, waiter, watches, slow)
    server.add_generic_rpc_handlers((ecgs.handlers(),))
    report_index_pb2_grpc.add_ReportIndexServiceServicer_to_server(
        ReportIndexService(dependencies, monitor, slow), server
    )
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    names = (RETRIEVAL, INDEX, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    _listen(server, settings)
    return server


def _listen(server: grpc.aio.Server, settings: Settings) -> None:
    bind = settings.gateway_bind
    credentials = server_credentials(settings)
    try:
        if credentials is None:
            server.add_insecure_port(bind)
        else:
            server.add_secure_port(bind, credentials)
        if settings.gateway_socket is not None:
            _check_length(settings.gateway_socket)
            settings.gateway_socket.unlink(missing_ok=True)
            server.add_insecure_port(f"unix:{settings.gateway_socket}")
    except RuntimeError as error:
        raise ConfigurationError(
            f"cannot listen on {bind}: is the port taken? Set CARDEX_GATEWAY_BIND to another",
            reason="PORT_TAKEN",
        ) from error


def _check_length(path: Path) -> None:
    if len(str(path)) > MAX_SOCKET_PATH:
        raise ConfigurationError(
            f"the path of the gateway's socket has {len(str(path))} characters, at most"
            f" {MAX_SOCKET_PATH}: set CARDEX_DATA_DIR to a shorter one ({path})"
        )
