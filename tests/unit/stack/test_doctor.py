from types import SimpleNamespace

import pytest

from services.domain.errors import ConfigurationError
from services.domain.settings import Settings
from services.stack import doctor
from services.stack.doctor import Check, examine

GIB = 1024**3


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine that has everything; a test takes away what it is about."""
    folder = tmp_path / "models"
    for model in ("ecg_image_encoder", "report_text_encoder"):
        (folder / model / "1").mkdir(parents=True)
        (folder / model / "1" / "model.onnx").write_bytes(bytes(2_000_000))
    machine = SimpleNamespace(
        free=10 * GIB,
        models=folder,
        runtime=SimpleNamespace(server="/triton", python="3.11"),
        tokenizer=Settings().tokenizer,
    )
    monkeypatch.setattr(doctor, "inspect_runtime", lambda _: machine.runtime)
    usage = SimpleNamespace(disk_usage=lambda _: SimpleNamespace(free=machine.free))
    monkeypatch.setattr(doctor, "shutil", usage)
    machine.examine = lambda: {
        check.name: check
        for check in examine(
            Settings(
                model_repository=machine.models,
                tokenizer=machine.tokenizer,
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
    assert machine.examine()["models"].detail == "ecg_image_encoder, report_text_encoder: 4.0 MB"


def test_a_missing_environment_of_triton_has_its_remedy(machine, monkeypatch):
    def none(_):
        raise ConfigurationError("it does not exist: run `make setup`")

    monkeypatch.setattr(doctor, "inspect_runtime", none)
    assert missing(machine) == {"Triton's environment": "it does not exist: run `make setup`"}


def test_a_missing_model_is_named_with_the_setting(machine):
    (machine.models / "report_text_encoder" / "1" / "model.onnx").unlink()
    (detail,) = missing(machine).values()
    assert "lacks report_text_encoder" in detail
    assert "CARDEX_MODEL_REPOSITORY" in detail


def test_a_missing_tokenizer_is_named(machine, tmp_path):
    machine.tokenizer = tmp_path / "none.json"
    assert "none.json" in missing(machine)["tokenizer"]


def test_too_little_space_is_told_in_mib(machine):
    machine.free = 100 * 2**20
    found = missing(machine)
    assert found.keys() == {"shared memory", "data folder"}
    assert "100 MiB free" in found["shared memory"]
    assert "CARDEX_DATA_DIR" in found["data folder"]


def test_one_thing_that_is_missing_hides_no_other(machine, tmp_path):
    machine.free = 0
    machine.tokenizer = tmp_path / "none.json"
    assert missing(machine).keys() == {"tokenizer", "shared memory", "data folder"}


def test_a_missing_package_is_named_with_the_remedy(machine, monkeypatch):
    def version(name):
        raise doctor.PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "version", version)
    assert missing(machine) == {"packages": "celery is not installed: run `make setup`"}


def test_a_check_is_plain_values():
    assert Check("models", True, "4 MB").as_dict() == {
        "name": "models",
        "ok": True,
        "detail": "4 MB",
    }
