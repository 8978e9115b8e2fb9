"""The three nodes of a hospital's state store, run by podman: nothing acknowledged is lost."""

import copy
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from redis.backoff import NoBackoff
from redis.retry import Retry

from cardex.domain.errors import Unavailable
from cardex.domain.jobs import Claim, Priority, Question
from cardex.stores.job_limits import JobLimits
from cardex.stores.job_queue import JobQueue
from cardex.stores.redis import connect
from cardex.stores.submission import Submission
from deploy.checks.rendered import name_of, of_kind, pod_of, rendered
from deploy.play import PODMAN, podman
from tests.deploy.images import IMAGES, missing
from tests.helpers.waiting import until

PREFIX = f"cardex-nodes-{os.getpid()}"
"""Of the network, the pods and the volumes of this test."""
PASSWORD = "of the test"  # the blanks are to survive each quoting
PODS = ("state-0", "state-1", "state-2")
NODES = tuple(f"{pod}.state-nodes" for pod in PODS)
URL = f"sentinel://:of%20the%20test@{','.join(f'{node}:26379' for node in NODES)}/0?master=state"

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


class Store:
    """The pods of the overlay's StatefulSet `state`, each with a claim of its own.

    Attributes:
        addresses: of the nodes that were started, by the name that the others know.
    """

    def __init__(self, folder: Path) -> None:
        """Write the pods' files into `folder`."""
        objects = rendered("hospital")
        (self._workload,) = of_kind(objects, "StatefulSet")
        secret = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "state-auth"}}
        secret["data"] = {"auth.conf": f'requirepass "{PASSWORD}"\n'}
        self._maps = [
            {**each, "metadata": {"name": f"{PREFIX}-{name_of(each)}"}}
            for each in [*of_kind(objects, "ConfigMap"), secret]
            if name_of(each).startswith(("valkey-state", "valkey-sentinel", "state-auth"))
        ]
        self.addresses: dict[str, str] = {}
        self._paths = {pod: folder / f"{pod}.yaml" for pod in PODS}
        for pod, path in self._paths.items():
            path.write_text(yaml.safe_dump_all([*self._maps, self._pod(pod)]))

    def _pod(self, name: str) -> dict[str, Any]:
        """Return a pod as podman 4 understands it.

        It mounts secrets in base64, so the password is in a ConfigMap; it would start again what
        the test kills; and it has no probes by port.
        """
        spec: dict[str, Any] = copy.deepcopy(dict(pod_of(self._workload)))
        for container in [*spec["containers"], *spec["initContainers"]]:
            container["image"] = IMAGES[2]
            for key in ("ports", "startupProbe", "readinessProbe", "livenessProbe"):
                container.pop(key, None)
        for volume in spec["volumes"]:
            read = volume.pop("configMap", None) or {"name": volume.pop("secret")["secretName"]}
            volume["configMap"] = {"name": f"{PREFIX}-{read['name']}"}
        (claim,) = self._workload["spec"]["volumeClaimTemplates"]
        own = {"claimName": f"{PREFIX}-{name}"}
        spec["volumes"].append({"name": name_of(claim), "persistentVolumeClaim": own})
        spec["restartPolicy"] = "Never"
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}

    def start(self, pod: str) -> None:
        """Start a pod, with what its claim has."""
        node = f"{pod}.{self._workload['spec']['serviceName']}"
        podman("kube", "play", "--network", f"{PREFIX}:alias={node}", str(self._paths[pod]))
        infra = podman("pod", "inspect", "--format", "{{.InfraContainerID}}", pod).strip()
        (found,) = json.loads(podman("inspect", infra))
        self.addresses[node] = found["NetworkSettings"]["Networks"][PREFIX]["IPAddress"]

    def kill(self, *pods: str) -> None:
        """Kill both programs of pods, and take the pods away; what they keep stays."""
        names = [f"{pod}-{name}" for pod in pods for name in ("state", "sentinel")]
        for pid in podman("inspect", "--format", "{{.State.Pid}}", *names).split():
            os.kill(int(pid), signal.SIGKILL)
        self.take_away(*pods)

    def take_away(self, *pods: str) -> None:
        """Remove pods without a farewell; what they keep stays."""
        with ThreadPoolExecutor() as threads:  # podman takes seconds for each
            list(threads.map(_remove, pods))

    def lose(self, pod: str) -> None:
        """Remove what a pod that was taken away kept."""
        podman("volume", "rm", f"{PREFIX}-{pod}")

    def remove(self) -> None:
        """Remove everything."""
        self.take_away(*PODS)
        for name in [*(f"{PREFIX}-{pod}" for pod in PODS), *map(name_of, self._maps)]:
            podman("volume", "rm", "--force", name, check=False)
        podman("network", "rm", "--force", PREFIX, check=False)

    def kept(self, pod: str, file: str) -> str:
        """Return a file of a pod's claim, also where there is no pod."""
        folder = podman("volume", "inspect", "--format", "{{.Mountpoint}}", f"{PREFIX}-{pod}")
        return (Path(folder.strip()) / file).read_text()

    def is_ready(self, pod: str) -> bool:
        """Return whether the readiness probe of a pod's Valkey succeeds."""
        probe = pod_of(self._workload)["containers"][0]["readinessProbe"]["exec"]["command"]
        command = [PODMAN, "exec", f"{pod}-state", *probe]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def valkey(self, node: str) -> redis.Redis:
        return redis.Redis(host=node, port=6379, password=PASSWORD, socket_timeout=5)

    def primaries(self) -> list[str]:
        """Return the nodes that call themselves primary."""
        roles = {node: self.valkey(node).info("replication")["role"] for node in NODES}
        return [node for node, role in roles.items() if role == "master"]

    def named(self, node: str) -> tuple[str, int, int]:
        """Return what a sentinel says: the primary, its replicas, and the other sentinels."""
        found: Any = redis.Redis(host=node, port=26379, socket_timeout=5).sentinel_master("state")
        return found["ip"], found["num-slaves"], found["num-other-sentinels"]

    def agreed(self) -> bool:
        """Return whether there is one primary, which all sentinels name, and all have its data."""
        primaries = self.primaries()
        return (
            len(primaries) == 1
            and {self.named(node) for node in NODES} == {(primaries[0], 2, 2)}
            and all(map(self.is_ready, PODS))
        )


def _remove(pod: str) -> None:
    podman("pod", "kill", pod, check=False)
    podman("pod", "rm", "--force", "--time", "0", pod, check=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    asked = socket.getaddrinfo
    with pytest.MonkeyPatch.context() as patch:
        # This process is outside the network, and knows its addresses as a pod knows its names.
        patch.setattr(
            socket, "getaddrinfo",
            lambda host, *rest, **named: asked(store.addresses.get(host, host), *rest, **named),
        )  # fmt: skip
        podman("network", "create", "--internal", PREFIX)
        try:
            for pod in PODS:
                store.start(pod)
            settle(store.agreed)
            yield store
        finally:
            store.remove()
    for kind in ("network", "volume"):
        assert podman(kind, "ls", "--quiet", "--filter", f"name={PREFIX}") == ""


def queue() -> JobQueue:
    return JobQueue(connect(URL), JobLimits(lease_s=3600.0, replicas=1), lambda _: None)


def submitted(jobs: JobQueue, first: int, count: int) -> list[str]:
    """Return the ids of jobs of which each is acknowledged, so that two nodes have it."""
    numbers = range(first, first + count)
    batch = [
        Submission("ward", Priority.ROUTINE, b"ecg %d" % number, Question(), f"r{number}")
        for number in numbers
    ]
    outcomes = jobs.submit([(each, None) for each in batch])
    return [outcome.job_id for outcome in outcomes]  # type: ignore[union-attr]


def settle(condition: Callable[[], bool]) -> None:
    """Wait for what the pods come to by themselves; meanwhile they may refuse to answer."""
    until(condition, despite=(redis.exceptions.RedisError, Unavailable))


def answers(jobs: JobQueue) -> bool:
    """Return whether jobs can be changed, which takes a primary that a node follows."""
    jobs.sweep(Priority.ROUTINE)
    return True


@dataclass(frozen=True)
class Failover:
    """What was acknowledged and held when the first primary died, and its pod."""

    jobs: JobQueue
    ids: list[str]
    held: Claim
    dead: str


@pytest.fixture(scope="module")
def failover(store):
    jobs = queue()
    ids = submitted(jobs, 0, 50)
    (held,) = jobs.claim(Priority.ROUTINE, 1)
    (primary,) = store.primaries()
    dead = primary.partition(".")[0]
    store.kill(dead)
    return Failover(jobs, ids, held, dead)


def test_two_nodes_follow_the_first_and_only_they_refuse_writes(store):
    assert store.primaries() == [NODES[0]]
    assert [store.named(node) for node in NODES] == [(NODES[0], 2, 2)] * 3
    for node in NODES[1:]:
        with pytest.raises(redis.exceptions.ReadOnlyError):
            store.valkey(node).set("a", "b")


def test_no_stranger_comes_in(store):
    for node, password in zip(NODES, ("guessed", "of", None), strict=True):
        with pytest.raises(redis.exceptions.AuthenticationError):
            redis.Redis(host=node, password=password, retry=Retry(NoBackoff(), 0)).ping()


def test_what_was_acknowledged_survives_the_primary_and_goes_on(failover):
    jobs = failover.jobs
    settle(lambda: answers(jobs))
    assert all(job is not None for job in jobs.find(failover.ids))
    assert jobs.finish([(failover.held, b"answer")]) == [True]
    assert len(submitted(jobs, 50, 50)) == 50
    assert len(jobs.claim(Priority.ROUTINE, 100)) == 99


def test_an_old_primary_changes_nothing_and_becomes_a_replica(store, failover):
    settle(lambda: answers(failover.jobs))
    assert "replicaof" not in store.kept(failover.dead, "valkey.conf")
    store.start(failover.dead)
    old = store.valkey(f"{failover.dead}.state-nodes")
    settle(lambda: bool(old.ping()))
    refused = "Not enough good replicas|read only"  # as what it was, then as a replica
    with pytest.raises(redis.exceptions.ResponseError, match=refused):
        old.set("a", "b")
    settle(store.agreed)
    assert old.info("replication")["role"] == "slave"
    assert "replicaof" in store.kept(failover.dead, "valkey.conf")


def test_after_a_power_cut_and_an_empty_claim_there_is_one_primary_with_everything(store, failover):
    settle(store.agreed)
    ids, (primary,) = submitted(failover.jobs, 100, 50), store.primaries()
    store.kill(*PODS)
    assert primary != NODES[0]  # which without settings takes itself for the primary
    store.lose(PODS[0])
    for pod in PODS:
        store.start(pod)
    settle(store.agreed)
    assert store.primaries() == [primary]
    assert all(job is not None for job in queue().find([*failover.ids, *ids]))
    assert len(submitted(queue(), 150, 10)) == 10
