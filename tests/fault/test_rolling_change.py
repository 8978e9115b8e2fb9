"""Gateways and workers are replaced, one after the other, while callers ask: none is refused."""

import threading
import time
from functools import partial
from pathlib import Path

from cardex.api.client import Client
from cardex.domain.errors import CardexError
from cardex.local_stack.ports import HOST, free_ports
from loadtest.faults import meanwhile
from tests.helpers.fleet import another, drained
from tests.helpers.real import reports
from tests.helpers.stack import build_index, running_stack, variant
from tests.helpers.waiting import until

CALLERS = 3
ESTABLISHED = "01"
STAT = ("worker", "--queue", "stat", "--name")


class Callers:
    """Threads that ask one ECG after the other of the gateways that a name stands for."""

    def __init__(self, settings) -> None:
        self._settings = settings
        self._lock, self._next = threading.Lock(), 0
        self.answers, self.errors = 0, list[str]()

    def ask(self, ended: threading.Event) -> None:
        with Client.from_settings(self._settings) as client:
            while not ended.wait(0.05):
                with self._lock:
                    number, self._next = self._next, self._next + 1
                try:
                    assert client.retrieve(variant(number)).answer.hits
                    self.answers += 1
                except CardexError as error:
                    self.errors.append(f"{error.reason}: {error.message}")

    def go_on(self) -> None:
        """Wait until some more are answered."""
        wanted = self.answers + 5 * CALLERS
        while self.answers < wanted and not self.errors:
            time.sleep(0.02)


def test_no_caller_is_refused_while_gateways_and_workers_are_replaced(tmp_path, monkeypatch):
    monkeypatch.setenv("CARDEX_GRACE_S", "30")
    with running_stack(tmp_path / "stack", routine_workers=1) as (stack, settings):
        build_index(settings, reports(300))
        ports = free_ports(2)
        gateways = [_gateway(stack, tmp_path, number, port) for number, port in enumerate(ports)]
        workers = [_worker(stack, tmp_path, number) for number in range(2)]
        assert drained(stack.processes["worker-stat"]) == 0
        target = f"ipv4:{','.join(f'{HOST}:{port}' for port in ports)}"
        both = settings.model_copy(update={"gateway_target": target, "insecure": True})
        try:
            callers = Callers(both)
            with meanwhile(callers.ask, CALLERS):
                callers.go_on()
                for number, port in enumerate(ports):
                    drained(gateways[number])
                    callers.go_on()
                    gateways[number] = _gateway(stack, tmp_path, number, port)
                    until(partial(is_used, port), seconds=30.0)
                for number in range(2):
                    assert drained(workers[number]) == 0
                    callers.go_on()
                    workers[number] = _worker(stack, tmp_path, number)
                callers.go_on()
            assert callers.errors == []
        finally:
            for part in (*gateways, *workers):
                part.stop()


def is_used(port: int) -> bool:
    """Whether somebody is connected to a port: gRPC tries again a replica that is back."""
    lines = [
        line.split()
        for name in ("tcp", "tcp6")  # gRPC's sockets are of both families
        for line in Path("/proc/net", name).read_text().splitlines()[1:]
    ]
    connections = [(local.rpartition(":")[2], state) for _, local, _, state, *_ in lines]
    return (f"{port:04X}", ESTABLISHED) in connections


def _gateway(stack, folder, number, port):
    return another(
        stack, folder, f"gateway-{number}", "gateway",
        CARDEX_GATEWAY_BIND=f"{HOST}:{port}", CARDEX_GATEWAY_SOCKET=str(folder / f"{number}.sock"),
    )  # fmt: skip


def _worker(stack, folder, number):
    return another(stack, folder, f"stat-{number}", *STAT, f"stat-{number}")
