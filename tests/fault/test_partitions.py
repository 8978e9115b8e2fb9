"""Seven hosts in network namespaces: whatever befalls the network, a job ends once."""

import contextlib
import socket
import subprocess
import sys
import time

import pytest

from loadtest import partitions
from loadtest.network import OUTSIDE, Network, missing
from tests.helpers.real import demo_data

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

ECHO = """
import socket, sys
server = socket.create_server((sys.argv[1], 7000))
print("listens", flush=True)
while True:
    connection, _ = server.accept()
    connection.sendall(connection.recv(100))
"""


@pytest.fixture
def network():
    with Network(["one"], seed=1) as network:
        argv = network.hosts["one"].within(
            [sys.executable, "-c", ECHO, network.hosts["one"].address]
        )
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == b"listens\n"
            yield network
            server.kill()


def seconds_of_an_echo(network, timeout_s: float = 30.0) -> float:
    start = time.monotonic()
    address = (network.hosts["one"].address, 7000)
    with socket.create_connection(address, timeout=timeout_s) as connection:
        connection.sendall(b"x" * 50)
        assert connection.recv(100)
    return time.monotonic() - start


def test_hosts_reach_one_another(network):
    seconds_of_an_echo(network)


def test_a_link_that_is_cut_lets_nothing_through_and_one_that_is_mended_does(network):
    with network.harmed("one", cut=True), pytest.raises(TimeoutError):
        seconds_of_an_echo(network, timeout_s=1.0)
    seconds_of_an_echo(network)


def test_a_slow_link_takes_its_time_both_ways(network):
    with network.harmed("one", delay_s=0.2):
        assert seconds_of_an_echo(network) >= 0.8  # two round trips: to connect, and the echo


def test_a_link_loses_its_share_of_frames(network):
    listener = """
import socket, sys
found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
found.bind((sys.argv[1], 7001))
print("listens", flush=True)
count = 0
while found.recv(100) != b"end":
    count += 1
print(count, flush=True)
"""
    seconds_of_an_echo(network)  # what asks where a host is may be lost too
    host = network.hosts["one"]
    argv = host.within([sys.executable, "-c", listener, host.address])
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"listens\n"
        try:
            with (
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
                network.harmed("one", loss=0.3),
            ):
                for number in range(400):  # the last of them may be lost too
                    sender.sendto(b"x" if number < 100 else b"end", (host.address, 7001))
                    time.sleep(0.005)
            process.wait(30)
            assert 50 <= int(process.stdout.readline()) <= 90
        finally:
            process.kill()


def test_nothing_is_left_of_a_network():
    with Network(["gone"], seed=1) as network:
        namespace, device = network.hosts["gone"].namespace, network.hosts[OUTSIDE].device
    shown = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    assert namespace not in shown.stdout
    with contextlib.suppress(subprocess.CalledProcessError):
        subprocess.run(["ip", "link", "show", device], capture_output=True, check=True)
        pytest.fail(f"{device} is left")


@pytest.mark.timeout(600)  # longer than jobs are waited for, so that a lost one is counted
def test_jobs_end_once_whatever_befalls_the_network():
    data = demo_data()
    with partitions.hosts(7, data) as own:
        found = partitions.run(own, data, 7)
    assert found["jobs"] >= partitions.JOBS
    assert (found["lost"], found["ended twice"], found["health was wrong"]) == (0, 0, 0)
