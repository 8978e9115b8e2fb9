"""The bill of each image names every package of its lock; a licence that is denied is found."""

import re
import sys
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from cardex.domain.settings import Settings
from deploy.sbom import (
    IMAGES,
    UNSAID,
    bill,
    denied,
    installed_licences,
    key_of,
    licence_of,
    table,
)
from tests.helpers.real import ROOT

TRITON = Settings().triton_python.parents[1]
PIN = re.compile(r"^([a-z0-9._-]+)==(\S+) \\$", re.MULTILINE)
HASH = re.compile(r"--hash=sha256:(\w{64})")

pytestmark = pytest.mark.skipif(
    not TRITON.is_dir(), reason="there is no environment of Triton: `make setup`"
)


@pytest.fixture(scope="module")
def licences():
    found = {"app": Path(sys.prefix), "triton": TRITON}
    return {name: installed_licences(folder) for name, folder in found.items()}


@pytest.fixture(scope="module")
def bills(licences):
    return {image.name: bill(image, licences[image.environment]) for image in IMAGES}


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_every_package_of_the_lock_is_a_component_with_its_hashes(bills, image):
    lock = (ROOT / "requirements" / image.lock).read_text()
    pins = PIN.findall(lock)
    assert pins
    components = {key_of(each): each for each in bills[image.name]["components"]}
    assert set(components) == set(pins)
    for (name, version), component in components.items():
        assert component["purl"].startswith(f"pkg:pypi/{name}@{version}")
    hashes = {
        found["content"]
        for component in components.values()
        for reference in component["externalReferences"]
        for found in reference["hashes"]
    }
    assert hashes == set(HASH.findall(lock))


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_what_is_installed_says_its_licence_and_none_is_denied(bills, licences, image):
    document = bills[image.name]
    installed = licences[image.environment]
    told = [each for each in document["components"] if key_of(each) in installed]
    if image.lock != "engines.lock":  # of another Python
        assert len(told) == len(document["components"])
    for component in told:
        assert component["licenses"][0]["license"]["name"] != UNSAID, component["name"]
    assert denied(document) == []


def test_the_table_has_each_package_of_each_image(bills):
    lines = table(bills).splitlines()
    assert len(lines) == len(set(lines))
    assert any(line.startswith("| numpy | ") and "cardex, " in line for line in lines)
    for name, document in bills.items():
        rows = [line for line in lines if name in line.rpartition(" | ")[2].strip(" |").split(", ")]
        assert len(rows) == len(document["components"])


@pytest.mark.parametrize(
    ("fields", "licence", "is_denied"),
    [
        ("License-Expression: MIT OR Apache-2.0", "MIT OR Apache-2.0", False),
        ("License-Expression: AGPL-3.0-or-later", "AGPL-3.0-or-later", True),
        ("License: 3-Clause BSD License\n\n        Copyright", "3-Clause BSD License", False),
        (
            "Classifier: License :: OSI Approved\n"
            "Classifier: License :: OSI Approved :: GNU Affero General Public License v3",
            "GNU Affero General Public License v3",
            True,
        ),
        ("License: Server Side Public License", "Server Side Public License", True),
        ("Summary: says nothing", UNSAID, False),
    ],
)
def test_a_licence_is_read_where_a_package_says_it(tmp_path, fields, licence, is_denied):
    folder = tmp_path / "one-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.4\nName: one\nVersion: 1.0\n{fields}\n")
    found = licence_of(PathDistribution(folder))
    assert found == licence
    component = {"name": "one", "version": "1.0", "licenses": [{"license": {"name": found}}]}
    assert bool(denied({"components": [component]})) is is_denied
