"""`make sbom`: what each image installs by its lock, as CycloneDX, and the licences as a table.

The packages and hashes are those of the lock. The licences are read from the same versions as they
are installed here; what lies in an image below its Python packages (Debian, NVIDIA's container) is
told by that image's own tools.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
OUT = ROOT / "build" / "sbom"
PROGRAM = str(Path(sys.executable).parent / "cyclonedx-py")
UNJUDGED = "not installed here: look it up"
DENIED = re.compile(
    r"AGPL|Affero|SSPL|Server Side Public|BUSL|Business Source|Commons Clause", re.I
)
"""Licences under which an image could not be given on, or not be used as a service."""
UNSAID = "not said"

Component = dict[str, Any]
Key = tuple[str, str]
"""Canonical name and version of a package."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image whose Python packages come from a lock.

    Attributes:
        name: of the image.
        lock: its file in requirements/.
        environment: the folder, beside this one, in which the same versions are installed.
    """

    name: str
    lock: str
    environment: str


IMAGES = (
    Image("cardex", "cluster.lock", "app"),
    Image("cardex-stores", "stores.lock", "app"),
    Image("cardex-triton", "triton.lock", "triton"),
    Image("cardex-triton-gpu", "engines.lock", "app"),
)


def bill(image: Image, licences: Mapping[Key, str]) -> dict[str, Any]:
    """Return the CycloneDX document of an image.

    Args:
        image: the image.
        licences: by package, for those that are installed here.

    Raises:
        CalledProcessError: if the lock cannot be read.
        ValueError: if the document is not as the schema of CycloneDX wants it.
    """
    lock = ROOT / "requirements" / image.lock
    command = [PROGRAM, "requirements", str(lock), "--output-reproducible", "--of", "JSON"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    document: dict[str, Any] = json.loads(done.stdout)
    components = document["components"]
    for component in components:
        component["bom-ref"] = component["purl"]
        component.pop("description")  # the line of the lock again
        if licence := licences.get(key_of(component)):
            component["licenses"] = [{"license": {"name": licence}}]
    document["dependencies"] = [{"ref": component["purl"]} for component in components]
    document["metadata"]["component"] = {
        "type": "container", "name": image.name, "bom-ref": image.name
    }  # fmt: skip
    if error := _validator().validate_str(json.dumps(document)):
        raise ValueError(f"{image.name}: {error}")
    return document


def key_of(component: Component) -> Key:
    """Return the canonical name and the version of a component."""
    return canonicalize_name(component["name"]), component["version"]


def installed_licences(environment: Path) -> dict[Key, str]:
    """Return the licences of the packages in a virtual environment."""
    folders = [str(path) for path in environment.glob("lib/python*/site-packages")]
    return {
        (canonicalize_name(each.name), each.version): licence_of(each)
        for each in distributions(path=folders)
    }


def licence_of(package: Distribution) -> str:
    """Return a package's licence: its SPDX expression, its classifiers, or its own words."""
    fields = package.metadata.get_all
    if expressions := fields("License-Expression"):
        return str(expressions[0])
    own = "".join(fields("License") or ()).strip().partition("\n")[0]
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in fields("Classifier") or ()
        if line.startswith("License ::") and not line.endswith(("OSI Approved", "DFSG approved"))
    ]
    return " and ".join(classifiers) or own or UNSAID


def denied(document: Mapping[str, Any]) -> list[str]:
    """Return the components whose licence must not be in an image, with it."""
    return [
        f"{component['name']} {component['version']}: {name}"
        for component in document["components"]
        for name in _names(component)
        if DENIED.search(name)
    ]


def table(documents: Mapping[str, Mapping[str, Any]]) -> str:
    """Return all packages with versions, licences and images, as a table in Markdown."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for image, document in documents.items():
        for each in document["components"]:
            licence = " and ".join(_names(each)) or UNJUDGED
            rows.setdefault((each["name"], each["version"], licence), []).append(image)
    lines = [
        f"| {' | '.join(cell.replace('|', '/') for cell in row)} | {', '.join(images)} |"
        for row, images in sorted(rows.items())
    ]
    return "\n".join(["| package | version | licence | images |", "|---|---|---|---|", *lines, ""])


def _names(component: Mapping[str, Any]) -> Iterator[str]:
    return (each["license"]["name"] for each in component.get("licenses", ()))


@cache
def _validator() -> JsonStrictValidator:
    return JsonStrictValidator(SchemaVersion.V1_6)


def main() -> None:
    """Write the documents and the table.

    Raises:
        SystemExit: naming the packages whose licence is denied.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--app", type=Path, default=ROOT / ".venv")
    parser.add_argument("--triton", type=Path, default=ROOT / ".venv-triton")
    given = vars(parser.parse_args())
    licences = {name: installed_licences(path) for name, path in given.items()}
    documents = {image.name: bill(image, licences[image.environment]) for image in IMAGES}
    OUT.mkdir(parents=True, exist_ok=True)
    for name, document in documents.items():
        (OUT / f"{name}.json").write_text(json.dumps(document, indent=2))
        print(f"build/sbom/{name}.json: {len(document['components'])} packages")
    (OUT / "licences.md").write_text(table(documents))
    if found := [f"{name}: {each}" for name, it in documents.items() for each in denied(it)]:
        raise SystemExit("\n".join(found))


if __name__ == "__main__":
    main()
