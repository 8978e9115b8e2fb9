import shutil
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import pytest

from cardex.domain.errors import ConfigurationError
from cardex.domain.settings import Settings
from cardex.inference.repository import IMAGE_ENCODER, TEXT_ENCODER, ModelVersion, newest
from cardex.local_stack import doctor
from cardex.local_stack.doctor import Check, examine

GIB = 1024**3


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine that has everything; a test takes away what it is about."""
    release = ModelVersion(tmp_path / "models", 1)
    for model in (IMAGE_ENCODER, TEXT_ENCODER):
        release.folder(model).mkdir(parents=True)
        release.graph(model).write_bytes(bytes(2_000_000))
    release.card.write_text('{"model_version": "cardex-1"}')
    release.tokenizer.write_bytes(newest(Settings().model_repository).tokenizer.read_bytes())
    machine = SimpleNamespace(
        free=10 * GIB,
        release=release,
        runtime=SimpleNamespace(server="/triton", python="3.11"),
    )
    monkeypatch.setattr(doctor, "inspect_runtime", lambda _: machine.runtime)
    usage = SimpleNamespace(disk_usage=lambda _: SimpleNamespace(free=machine.free))
    monkeypatch.setattr(doctor, "shutil", usage)
    machine.examine = lambda: {
        check.name: check
        for check in examine(
            Settings(
                model_repository=release.repository,
                data_dir=tmp_path / "data" / "of" / "cardex",
            )
        )
    }
    return machine


def missing(machine) -> dict[str, str]:
    return {name: check.detail for name, check in machine.examine().items() if not check.ok}


def test_a_whole_machine_passes(machine):
    assert missing(machine) == {}


def test_every_check_says_what_was_found(machine):
    assert all(check.detail for check in machine.examine().values())
    assert machine.examine()["models"].detail == "cardex-1, version 1: 4.0 MB"


def test_a_missing_environment_of_triton_has_its_remedy(machine, monkeypatch):
    def none(_):
        raise ConfigurationError("it does not exist: run `make setup`")

    monkeypatch.setattr(doctor, "inspect_runtime", none)
    assert missing(machine) == {"Triton's environment": "it does not exist: run `make setup`"}


def test_a_missing_model_is_named_with_the_setting(machine):
    machine.release.graph(TEXT_ENCODER).unlink()
    detail = missing(machine)["models"]
    assert "no version of ecg_image_encoder and report_text_encoder" in detail
    assert "CARDEX_MODEL_REPOSITORY" in detail


def test_a_missing_model_card_is_named(machine):
    machine.release.card.unlink()
    assert "1/model_card.json" in missing(machine)["models"]


def test_a_missing_tokenizer_is_named(machine):
    machine.release.tokenizer.unlink()
    assert "report_text_encoder/1/tokenizer.json" in missing(machine)["tokenizer"]


def test_the_newest_version_is_looked_at(machine):
    newer = ModelVersion(machine.release.repository, 2)
    for model in (IMAGE_ENCODER, TEXT_ENCODER):
        shutil.copytree(machine.release.folder(model), newer.folder(model))
    newer.card.write_text('{"model_version": "cardex-2"}')
    assert machine.examine()["models"].detail == "cardex-2, version 2: 4.0 MB"


def test_too_little_space_is_told_in_mib(machine):
    machine.free = 100 * 2**20
    found = missing(machine)
    assert found.keys() == {"shared memory", "data folder"}
    assert "100 MiB free" in found["shared memory"]
    assert "CARDEX_DATA_DIR" in found["data folder"]


def test_one_thing_that_is_missing_hides_no_other(machine):
    machine.free = 0
    machine.release.tokenizer.unlink()
    assert missing(machine).keys() == {"tokenizer", "shared memory", "data folder"}


def test_a_missing_package_is_named_with_the_remedy(machine, monkeypatch):
    def version(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "version", version)
    assert missing(machine) == {"packages": "celery is not installed: run `make setup`"}


def test_a_check_is_plain_values():
    assert Check("models", True, "4 MB").as_dict() == {
        "name": "models",
        "ok": True,
        "detail": "4 MB",
    }
