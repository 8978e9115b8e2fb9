"""Whether this machine has what tests of containers need."""

import shutil
import subprocess

from deploy.play import PODMAN

IMAGES = ("localhost/cardex:dev", "localhost/cardex-triton:dev", "localhost/cardex-stores:dev")


def missing() -> str:
    """Return what is missing in words, "" where nothing is."""
    if shutil.which("podman") is None:
        return "there is no podman here"
    for image in IMAGES:
        if subprocess.run([PODMAN, "image", "exists", image], check=False).returncode:
            return f"{image} was not built: `make images`"
    return ""
