"""compose.yaml run by podman: real ECGs, confined, and nothing is left when it has stopped."""

import io
import json
import os
import subprocess
import tarfile
import urllib.request

import pytest

from cardex.api.client import Client
from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from cardex.domain.settings import Settings
from cardex.local_stack.ports import HOST, free_ports
from deploy.compose.project import Project
from deploy.play import ORDER, PODMAN, podman
from tests.deploy.images import missing
from tests.helpers.real import ROOT, reports
from tests.helpers.stack import cpsc_ecgs, variant

SUBMISSION = pb.SubmitBatchRequest(item_id="1", ecg=variant(1))

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


@pytest.fixture(scope="module")
def ports():
    return free_ports(2)


@pytest.fixture(scope="module")
def project(tmp_path_factory, ports):
    gateway, web = ports
    project = Project(
        f"cardex-test-{os.getpid()}",
        folder=tmp_path_factory.mktemp("compose") / "secrets",
        variables={"GATEWAY_ADDRESS": f"{HOST}:{gateway}", "WEB_ADDRESS": f"{HOST}:{web}"},
    )
    try:
        with project:
            assert len(project.containers()) == len(ORDER)
            yield project
        kept = podman("volume", "ls", "--quiet", "--filter", f"name={project.name}").split()
        assert {name.removeprefix(f"{project.name}_") for name in kept} == {"state", "milvus"}
    finally:
        project.remove_volumes()
    assert project.containers() == []
    for kind in ("network", "volume"):
        assert podman(kind, "ls", "--quiet", "--filter", f"name={project.name}") == ""


@pytest.fixture(scope="module")
def settings(project, ports):
    settings = Settings(gateway_target=f"{HOST}:{ports[0]}")
    with Client.from_settings(settings) as client:
        list(client.upsert(reports(300), rebuild=True))
    return settings


def container_of(project: Project, name: str) -> str:
    return f"{project.name}_{name}_1"


def test_real_ecgs_are_answered_through_the_published_port(settings):
    with Client.from_settings(settings) as client:
        for ecg in cpsc_ecgs():
            answer = client.retrieve(ecg).answer
            assert len(answer.hits) == 10
            assert answer.predictions


def test_web_tells_the_queues(settings, ports):
    with urllib.request.urlopen(f"http://{HOST}:{ports[1]}/metrics", timeout=10) as response:
        assert b'cardex_queue_depth{queue="stat"}' in response.read()


@pytest.mark.parametrize("name", ORDER)
def test_nothing_is_root_or_writes_its_root(project, name):
    container = container_of(project, name)
    assert podman("exec", container, "id", "-u").strip() == "10001"
    refused = subprocess.run(
        [PODMAN, "exec", container, "touch", "/opt/written"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Read-only file system" in refused.stderr
    status = podman("exec", container, "cat", "/proc/1/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["NoNewPrivs"] == "1"
    assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0


@pytest.mark.parametrize("name", ORDER)
def test_no_password_is_in_an_environment(project, name):
    (found,) = json.loads(podman("inspect", container_of(project, name)))
    secrets = [path.read_text() for path in project.folder.iterdir()]
    passwords = {words.split()[-1].split("@")[0].rpartition(":")[2] for words in secrets}
    words = json.dumps([found["Config"]["Env"], found["Config"]["Cmd"], found["Args"]])
    assert not any(password in words for password in passwords)


def test_the_stores_have_no_way_out(project):
    for name in ("state", "cache", "milvus", "triton", "worker-stat", "worker-routine"):
        routes = podman("exec", container_of(project, name), "cat", "/proc/net/route")
        destinations = [line.split()[1] for line in routes.splitlines()[1:]]
        assert destinations
        assert "00000000" not in destinations  # no default route


def test_the_state_store_is_backed_up_while_it_runs(settings, project):
    with Client.from_settings(settings) as client:
        (job,) = [response.job for response in client.submit(iter([SUBMISSION]))]
    done = subprocess.run(
        [PODMAN, "exec", "--interactive", container_of(project, "state"), "sh", "-s"],
        input=(ROOT / "deploy" / "backup.sh").read_bytes(), capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        files = [tar.extractfile(each) for each in tar.getmembers() if each.isfile()]
        assert any(job.job_id.encode() in file.read() for file in files if file)
