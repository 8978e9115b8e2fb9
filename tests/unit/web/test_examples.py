import shutil

import pytest

from cardex.web.examples import FOLDER
from tests.helpers.real import ROOT, demo_data
from tests.unit.web.conftest import KEY, refused


@pytest.fixture
def folder(tmp_path):
    """The demo's ECGs where the web process looks for them, and a secret beside them."""
    folder = tmp_path / "data_dir" / FOLDER
    shutil.copytree(demo_data().cpsc[0].parent, folder)
    (folder.parent / "stack.json").write_text("secret")
    (tmp_path / "secret.mat").write_text("secret")
    return folder


def test_the_demo_puts_its_ecgs_where_examples_are_looked_for():
    assert demo_data().cpsc[0].parent == ROOT / ".cardex" / FOLDER


def test_without_the_demos_data_there_are_none(web):
    assert web.get("/v1/examples").json() == {"examples": []}
    assert refused(web.get("/v1/examples/A0001"))[:2] == (404, "NOT_FOUND")


def test_an_example_can_be_read_as_any_upload(web, folder):
    examples = web.get("/v1/examples").json()["examples"]
    assert len(examples) == len(list(folder.glob("*.hea")))
    for example in examples[:2]:
        assert example["id"] in example["name"]
        zipped = web.get(f"/v1/examples/{example['id']}")
        assert zipped.headers["content-type"] == "application/zip"
        found = web.post("/v1/ecgs:trace", files={"files": ("x.zip", zipped.content)}).json()
        assert found["format"] == "WFDB"


@pytest.mark.parametrize(
    "example_id", ["../stack.json", "..%2F..%2Fsecret", "%2e%2e", "A0001.mat", "", "%00", "%ff"]
)
def test_nothing_else_is_had(web, folder, example_id):
    response = web.get(f"/v1/examples/{example_id}", follow_redirects=True)
    assert b"secret" not in response.content
    assert response.headers["content-type"] == "application/json"


def test_links_out_of_the_folder_are_left_out(web, folder, tmp_path):
    header = next(iter(sorted(folder.glob("*.hea"))))
    signals = header.with_suffix(".mat")
    signals.unlink()
    signals.symlink_to(tmp_path / "secret.mat")
    assert header.stem not in {item["id"] for item in web.get("/v1/examples").json()["examples"]}
    assert web.get(f"/v1/examples/{header.stem}").status_code == 404


def test_examples_need_the_key_too(web, gateway, folder):
    gateway.keys = {KEY}
    assert web.get("/v1/examples").status_code == 401
    assert web.get("/v1/examples/A0001").status_code == 401
