from pathlib import Path

import msgspec
import pytest
import typer
from rich.console import Console

from cardex.cli import console as module
from cardex.cli.console import error_messages, stack_settings
from cardex.domain.errors import InvalidEcg
from cardex.local_stack.endpoints import DESCRIPTION, Endpoints

RUNNING = Endpoints(
    "unix:/g", "http://w", "t:1", "http://m", "http://v", "redis://s", "redis://c", "/models"
)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """The data folder of these settings, with no stack."""
    monkeypatch.setenv("CARDEX_DATA_DIR", str(tmp_path))
    return tmp_path


def test_an_error_of_the_tree_is_told_as_it_is_and_ends_with_1(monkeypatch, capsys):
    monkeypatch.setattr(module, "console", Console(stderr=True, highlight=False))
    with pytest.raises(typer.Exit) as caught, error_messages():
        raise InvalidEcg("lead [V1] of [/file]", reason="LEAD_SET")
    assert caught.value.exit_code == 1
    assert capsys.readouterr().err == "error (LEAD_SET): lead [V1] of [/file]\n"


def test_any_other_error_passes():
    with pytest.raises(ZeroDivisionError), error_messages():
        raise ZeroDivisionError


def test_without_a_stack_the_settings_are_those_of_the_environment(data, monkeypatch):
    monkeypatch.setenv("CARDEX_TRITON_URL", "elsewhere:1")
    found = stack_settings()
    assert (found.gateway_target, found.triton_url) == ("127.0.0.1:50051", "elsewhere:1")


def test_a_running_stack_is_found_by_its_data_folder(data):
    (data / DESCRIPTION).write_bytes(msgspec.json.encode(RUNNING))
    found = stack_settings()
    assert (found.gateway_target, found.triton_url) == ("unix:/g", "t:1")
    assert found.model_repository == Path("/models")


def test_what_is_set_goes_before_the_running_stack(data, monkeypatch):
    (data / DESCRIPTION).write_bytes(msgspec.json.encode(RUNNING))
    monkeypatch.setenv("CARDEX_GATEWAY_TARGET", "other:50051")
    found = stack_settings()
    assert (found.gateway_target, found.triton_url) == ("other:50051", "t:1")
