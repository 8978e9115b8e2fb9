"""The dev overlay's own manifests run by podman: real ECGs, confined, whatever is killed."""

import copy
import os
import signal
import subprocess
import time

import grpc
import pytest

from cardex.api.client import Client
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.api.pb.v1 import job_pb2
from cardex.domain.errors import CardexError, Unavailable
from cardex.domain.settings import Settings
from cardex.local_stack.ports import HOST, free_ports
from deploy.checks.rendered import name_of, of_kind, pod_of, rendered
from deploy.play import ORDER, PODMAN, Player, container_of, podman
from tests.deploy.images import missing
from tests.helpers.real import reports
from tests.helpers.stack import cpsc_ecgs, variant

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


@pytest.fixture(scope="module")
def port():
    return free_ports(1)[0]


@pytest.fixture(scope="module")
def player(tmp_path_factory, port):
    objects = copy.deepcopy(rendered("dev"))
    (gateway,) = (each for each in of_kind(objects, "Deployment") if name_of(each) == "gateway")
    pod_of(gateway)["containers"][0]["ports"][0]["hostPort"] = port
    with Player(objects, tmp_path_factory.mktemp("play")) as player:
        yield player
    assert podman("pod", "ps", "--quiet", "--filter", "network=cardex-dev") == ""
    assert podman("secret", "ls", "--quiet", "--filter", "name=cardex-stores") == ""


@pytest.fixture(scope="module")
def settings(player, port):
    settings = Settings(gateway_target=f"{HOST}:{port}")
    with Client.from_settings(settings) as client:
        list(client.upsert(reports(300), rebuild=True))
    return settings


def test_real_ecgs_are_answered_through_the_published_port(settings):
    with Client.from_settings(settings) as client:
        for ecg in cpsc_ecgs():
            answer = client.retrieve(ecg).answer
            assert len(answer.hits) == 10
            assert answer.predictions


@pytest.mark.parametrize("name", ORDER)
def test_nothing_is_root_or_writes_its_root(player, name):
    assert podman("exec", container_of(name), "id", "-u").strip() == "10001"
    refused = subprocess.run(
        [PODMAN, "exec", container_of(name), "touch", "/opt/written"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Read-only file system" in refused.stderr


def test_200_jobs_survive_the_kill_of_every_container(player, settings):
    ids: list[str] = []
    for place, name in enumerate(ORDER):
        ids += _submitted(settings, place * 25, 25)
        _killed(name)
        player.tend()
        player.wait_ready(name)
    assert len(set(ids)) == 200
    jobs = _finished(settings, ids)
    assert {job.state for job in jobs.values()} == {job_pb2.JOB_STATE_SUCCEEDED}
    assert all(job.answer.hits for job in jobs.values())


def test_a_process_that_dies_by_itself_is_started_again_by_podman(player):
    _die("worker-stat")
    player.wait_ready("worker-stat")


def _die(name: str) -> None:
    pid = podman("inspect", "--format", "{{.State.Pid}}", container_of(name)).strip()
    os.kill(int(pid), signal.SIGKILL)


def _killed(name: str) -> None:
    """Have podman kill a container, which stays away until somebody starts it."""
    podman("kill", container_of(name))
    podman("wait", container_of(name))


def _submitted(settings: Settings, first: int, count: int) -> list[str]:
    """Submit ECGs, again where a gateway is not back yet: their request_ids make them one job."""
    requests = [
        pb.SubmitBatchRequest(item_id=str(number), request_id=f"play-{number}", ecg=variant(number))
        for number in range(first, first + count)
    ]
    deadline = time.monotonic() + 120
    while True:
        try:
            with Client.from_settings(settings) as client:
                return [response.job.job_id for response in client.submit(iter(requests))]
        except Unavailable:
            assert time.monotonic() < deadline
            time.sleep(0.5)


def _finished(settings: Settings, ids: list[str]) -> dict[str, job_pb2.Job]:
    """Wait for jobs, also while the gateway comes back."""
    found: dict[str, job_pb2.Job] = {}
    deadline = time.monotonic() + 300
    while len(found) < len(ids):
        assert time.monotonic() < deadline, f"{len(found)} of {len(ids)} have ended"
        try:
            with Client.from_settings(settings) as client:
                left = [job_id for job_id in ids if job_id not in found]
                found |= {job.job_id: job for job in client.finished(left, 60)}
        except (CardexError, grpc.RpcError):
            time.sleep(1)
    return found
