"""`make compose-secrets`: the files of secrets that compose.yaml mounts, with random passwords."""

import argparse
import os
import secrets
from pathlib import Path

FOLDER = Path(__file__).parent / "secrets"
STORES = ("state", "cache")


def chosen_folder() -> Path:
    """Return the folder that the variable SECRETS names, or the one beside this file."""
    return Path(os.environ.get("SECRETS") or FOLDER)


def make_passwords(folder: Path) -> None:
    """Write the secrets that `folder` lacks.

    Other users of the host cannot enter the folder. The files themselves can be read by all, since
    compose mounts them as they are and the processes that read them have a user of their own.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    for store in STORES:
        auth, url = folder / f"{store}_auth", folder / f"cardex_{store}_url"
        if not (auth.exists() and url.exists()):
            password = secrets.token_hex(32)
            _write(auth, f"requirepass {password}\n")
            _write(url, f"redis://:{password}@{store}:6379/0\n")
    grafana = folder / "grafana_password"
    if not grafana.exists():
        _write(grafana, secrets.token_hex(16))


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o444)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    make_passwords(chosen_folder())
