import json

import pytest

from cardex.domain.jobs import Question
from cardex.gateway.keys import KeyRing, Scope
from tests.helpers.ecgs import DICOM


@pytest.mark.parametrize("command", [("doctor",), ("search", "sinus rhythm")])
def test_a_wrong_setting_stops_a_command_with_its_name(cardex, monkeypatch, command):
    monkeypatch.setenv("CARDEX_STAT_BATCH", "99")
    result = cardex(*command)
    assert result.exit_code == 1
    assert "CARDEX_STAT_BATCH" in result.output


def test_a_new_key_is_printed_once_and_known_from_its_file(cardex, tmp_path):
    path = tmp_path / "keys.toml"
    result = cardex("keys", "add", "--name", "icu", "--scope", "submit", "--file", path)
    assert result.exit_code == 0
    assert KeyRing(path).identify(result.stdout.strip()).scopes == {Scope.SUBMIT}


def test_an_error_of_the_tree_is_one_message_and_status_1(cardex, tmp_path):
    arguments = ("--name", "icu", "--scope", "everything", "--file", tmp_path / "keys.toml")
    result = cardex("keys", "add", *arguments)
    assert result.exit_code == 1
    assert "(CONFIGURATION)" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("given", [(), ("--ptbxl", "a", "--reports", "b")])
def test_the_index_is_built_from_one_source(cardex, given):
    result = cardex("index", *given)
    assert result.exit_code == 2
    assert "--reports" in result.output


def test_what_is_missing_is_printed_as_json_too(cardex, tmp_path, monkeypatch):
    monkeypatch.setenv("CARDEX_TRITON_PYTHON", str(tmp_path / "none"))
    result = cardex("doctor", "--json")
    assert result.exit_code == 1
    checks = {check["name"]: check for check in json.loads(result.stdout)}
    assert not checks["Triton's environment"]["ok"]


def test_what_is_asked_of_each_ecg_goes_into_the_question(cardex, monkeypatch):
    asked = []

    def run_submit(client, paths, question, **_: object) -> int:
        asked.append(question)
        return 0

    monkeypatch.setattr("cardex.cli.ecg.run_submit", run_submit)
    assert cardex("submit", DICOM, "--top-k", 3, "--rerank", 16).exit_code == 0
    assert asked == [Question(3, 16)]
