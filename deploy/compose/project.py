"""The services of compose.yaml as one project of podman-compose."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from cardex.local_stack.interrupts import uninterrupted
from deploy.compose.passwords import FOLDER, make_passwords
from deploy.play import PODMAN, READY_S, podman, wait_ready

ROOT = Path(__file__).parents[2]
FILE = ROOT / "compose.yaml"
COMPOSE = str(Path(sys.executable).parent / "podman-compose")
DOORS = ("web", "gateway", "worker-stat", "worker-routine")
"""What stops first, while the stores still answer what it holds."""


class Project:
    """A project that runs; a context manager that stops it again and keeps its volumes."""

    def __init__(
        self,
        name: str = "cardex",
        *,
        folder: Path = FOLDER,
        options: Sequence[str] = (),
        variables: dict[str, str] | None = None,
    ) -> None:
        """Prepare a project.

        Args:
            name: of the project, with which its containers, networks and volumes begin.
            folder: with its secrets, which are made where they are not there.
            options: of podman-compose, such as `-f FILE` and `--profile NAME`.
            variables: of compose.yaml, on top of the environment.
        """
        self.name = name
        self.folder = folder
        options = options if "-f" in options else ["-f", str(FILE), *options]
        self._command = [COMPOSE, "--podman-path", PODMAN, "-p", name, *options]
        self._environment = {**os.environ, **(variables or {}), "SECRETS": str(folder)}

    def __enter__(self) -> "Project":
        """Start everything and wait until it is ready.

        Raises:
            SystemExit: with the end of its log, if a container does not become ready.
        """
        make_passwords(self.folder)
        try:
            self.compose("up", "--detach", "--no-build")
            self.wait_ready()
        except BaseException:
            self._run("stop", *DOORS)
            self._run("down")  # if that fails too, the first reason is what counts
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything."""
        self.stop()

    def compose(self, *arguments: str) -> None:
        """Run podman-compose on the project.

        Raises:
            SystemExit: with its words, if it fails.
        """
        status, words = self._run(*arguments)
        if status:
            raise SystemExit(f"podman-compose {' '.join(arguments)}: {words.strip()[-3000:]}")

    def _run(self, *arguments: str) -> tuple[int, str]:
        process = subprocess.Popen(
            [*self._command, *arguments],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env=self._environment, cwd=ROOT,
            start_new_session=True,  # a Ctrl-C is for this process, which then stops everything
        )  # fmt: skip
        try:
            _, words = process.communicate()
        except KeyboardInterrupt:
            process.communicate()  # what starts still could not be stopped
            raise
        return process.returncode, words

    def containers(self) -> list[str]:
        """Return podman's names of the containers."""
        label = f"label=io.podman.compose.project={self.name}"
        return podman("ps", "--all", "--filter", label, "--format", "{{.Names}}").split()

    def wait_ready(self) -> None:
        """Wait until all health checks succeed.

        podman 4 has no `wait --condition=healthy`, and checks by itself only under systemd.

        Raises:
            SystemExit: with the end of its log, if a container takes too long.
        """
        deadline = time.monotonic() + READY_S
        for container in self.containers():
            wait_ready(container, partial(is_healthy, container), deadline)

    def stop(self) -> None:
        """Stop and remove the containers and networks, those first that hold jobs."""
        with uninterrupted(lambda: None):
            self._run("stop", *DOORS)  # fails where they were not made
            self.compose("down")

    def remove_volumes(self) -> None:
        """Remove what the project kept, once it is stopped."""
        self.compose("down", "--volumes")


def is_healthy(container: str) -> bool:
    """Return whether the health check of a container succeeds now."""
    command = [PODMAN, "healthcheck", "run", container]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
