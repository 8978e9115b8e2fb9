"""Prints the top-level requirements of one environment of pyproject.toml, for `make lock`."""

import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def requirements(environment: str) -> list[str]:
    """Return the requirements of "app", "dev" (app and tools), "triton" or "train"."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    if environment in ("app", "dev"):
        build = ["setuptools==84.2.1"]
        extra = project["optional-dependencies"]["dev"] if environment == "dev" else []
        return [*project["dependencies"], *build, *extra]
    return list(project["optional-dependencies"][environment])


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1])))
