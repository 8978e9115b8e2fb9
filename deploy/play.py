"""`make play`: the dev overlay's own manifests, run by podman, until Ctrl-C.

podman plays Deployments, ConfigMaps, Secrets and volume claims, and knows no Services: here each
workload is played into one network under the names of the Services that meet it. What else the
overlay has (policies, budgets) is for a cluster.
"""

import argparse
import copy
import json
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from deploy.checks.rendered import (
    Object,
    labels_of,
    name_of,
    of_kind,
    pod_of,
    rendered,
    selects,
)

PODMAN = str(Path(__file__).parent / "podman.sh")
NETWORK = "cardex-dev"
ORDER = ("state", "cache", "milvus", "triton", "gateway", "worker-stat", "worker-routine", "web")
READY_S = 180.0
POLL_S = 1.0
SHM = "/dev/shm"  # noqa: S108
SHARED = ("ConfigMap", "PersistentVolumeClaim")


def podman(*arguments: str, check: bool = True) -> str:
    """Run podman; returns what it prints.

    Raises:
        SystemExit: with its words, if it fails.
    """
    done = subprocess.run([PODMAN, *arguments], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise SystemExit(f"podman {' '.join(arguments[:3])}: {done.stderr.strip()}")
    return done.stdout


class Player:
    """The overlay's workloads as pods of podman; a context manager that takes all down again."""

    def __init__(self, objects: Sequence[Object], folder: Path) -> None:
        """Play `objects`; their files are written into `folder`."""
        self._objects = objects
        self._folder = folder
        workloads = {name_of(each): each for each in of_kind(objects, "Deployment")}
        self._workloads = [workloads[name] for name in ORDER]

    def __enter__(self) -> "Player":
        """Start everything, each part when those before it are ready."""
        self.stop()  # what an earlier player that was killed left behind
        podman("network", "create", NETWORK)
        for secret in of_kind(self._objects, "Secret"):
            path = self._folder / name_of(secret)
            path.touch(0o600)
            path.write_text(json.dumps(secret["data"]))  # what podman 4 reads variables from
            podman("secret", "create", name_of(secret), str(path))
        try:
            for workload in self._workloads:
                self.play(workload)
                self.wait_ready(name_of(workload))
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything, and remove pods, volumes and network."""
        self.stop()

    def play(self, workload: Object) -> None:
        """Start the pod of a workload, with what it reads."""
        name = name_of(workload)
        path = self._folder / f"{name}.yaml"
        shared = [_own(each) for each in of_kind(self._objects, *SHARED) if _reads(workload, each)]
        played = _played(workload)
        for volume in _temporary(played):
            tmpfs = ["--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=mode=1777"]
            podman("volume", "create", *tmpfs, volume["name"])
        path.write_text(yaml.safe_dump_all([*shared, played]))
        aliases = [
            f"alias={name_of(service)}"
            for service in of_kind(self._objects, "Service")
            if selects({"matchLabels": service["spec"]["selector"]}, labels_of(workload))
        ]
        network = ":".join([NETWORK, ",".join(aliases)]) if aliases else NETWORK
        podman("kube", "play", "--network", network, str(path))

    def wait_ready(self, name: str) -> None:
        """Wait until the readiness probe of a workload's container succeeds.

        Raises:
            SystemExit: with the end of its log, if that takes too long.
        """
        deadline = time.monotonic() + READY_S
        wait_ready(container_of(name), lambda: self.is_ready(name), deadline)

    def is_ready(self, name: str) -> bool:
        """Return whether the readiness probe of a workload's container succeeds now."""
        (workload,) = (each for each in self._workloads if name_of(each) == name)
        probe = pod_of(workload)["containers"][0]["readinessProbe"]["exec"]["command"]
        done = subprocess.run(
            [PODMAN, "exec", container_of(name), *probe], capture_output=True, check=False
        )
        return done.returncode == 0

    def tend(self) -> None:
        """Start containers again that have ended, as a kubelet does.

        podman does so itself where a process dies; who says `podman kill` means it to stay away.
        """
        for workload in self._workloads:
            container = container_of(name_of(workload))
            if podman("inspect", "--format", "{{.State.Status}}", container).strip() == "exited":
                print(f"{name_of(workload)} has ended: it is started again", flush=True)
                podman("start", container)

    def stop(self) -> None:
        """Stop everything, the last first, and remove it."""
        for workload in reversed(self._workloads):
            path = self._folder / f"{name_of(workload)}.yaml"
            if path.exists():
                podman("kube", "down", str(path), check=False)
        names = [name_of(_own(each)) for each in of_kind(self._objects, *SHARED)]
        for workload in self._workloads:
            names += [volume["name"] for volume in _temporary(_played(workload))]
        for name in names:
            podman("volume", "rm", "--force", name, check=False)
        for secret in of_kind(self._objects, "Secret"):
            podman("secret", "rm", name_of(secret), check=False)
        podman("network", "rm", "--force", NETWORK, check=False)


def wait_ready(container: str, is_ready: Callable[[], bool], deadline: float) -> None:
    """Wait until a container is ready, but not past a moment of the monotonic clock.

    Raises:
        SystemExit: with the end of its log, if that takes too long.
    """
    while not is_ready():
        if time.monotonic() > deadline:
            log = podman("logs", "--tail", "20", container, check=False)
            raise SystemExit(f"{container} is not ready after {READY_S:g} s:\n{log}")
        time.sleep(POLL_S)
    print(f"{container} is ready", flush=True)


def container_of(name: str) -> str:
    """Return podman's name of the container of a workload."""
    return f"{name}-pod-0-{name}"  # the one replica


def _played(workload: Object) -> Object:
    """Return a workload as podman 4 understands it.

    It publishes every port that is named, so only those of the host are left; and an emptyDir is a
    volume of root's that all pods share by its name, so each gets a name and a tmpfs of its own.
    """
    found = copy.deepcopy(workload)
    pod = pod_of(found)
    for container in pod["containers"]:
        container["ports"] = [port for port in container.get("ports", ()) if "hostPort" in port]
    for volume in pod["volumes"]:
        if claim := volume.get("persistentVolumeClaim"):
            claim["claimName"] = f"{NETWORK}-{claim['claimName']}"
    for volume in _temporary(found):
        own = f"{NETWORK}-{name_of(workload)}-{volume['name']}"
        for container in pod["containers"]:
            for mount in container["volumeMounts"]:
                if mount["name"] == volume["name"]:
                    mount["name"] = own
        volume["name"] = own
    for container in pod["containers"]:  # podman gives each pod 64 MB of it
        container["volumeMounts"] = [
            mount for mount in container["volumeMounts"] if mount["mountPath"] != SHM
        ]
    return found


def _own(shared: Object) -> Object:
    """Return what is shared under a name that no other volume has: of a claim, podman makes one."""
    if shared["kind"] != "PersistentVolumeClaim":
        return shared
    return {**shared, "metadata": {"name": f"{NETWORK}-{name_of(shared)}"}}


def _temporary(workload: Object) -> list[dict[str, Any]]:
    return [volume for volume in pod_of(workload)["volumes"] if "emptyDir" in volume]


def _reads(workload: Object, shared: Object) -> bool:
    return name_of(shared) in set(_names(pod_of(workload)))


def _names(value: Any) -> "list[str]":  # noqa: ANN401  any YAML value
    if isinstance(value, Mapping):
        return [name for each in value.values() for name in _names(each)]
    if isinstance(value, list):
        return [name for each in value for name in _names(each)]
    return [value] if isinstance(value, str) else []


def main() -> None:
    """Play until Ctrl-C or SIGTERM."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="cardex-play-") as folder:
        try:
            with Player(rendered("dev"), Path(folder)) as player:
                print("gateway: 127.0.0.1:50051 (CARDEX_INSECURE); Ctrl-C stops", flush=True)
                while True:
                    time.sleep(POLL_S)
                    player.tend()
        except KeyboardInterrupt:
            print("stopped")


if __name__ == "__main__":
    main()
