import json
from pathlib import Path

import pytest

from cardex.cli.submit import Archive
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


def test_what_is_asked_of_an_archive_goes_into_it(cardex, monkeypatch):
    asked = []

    def run_submit(client, archive, **_: object) -> int:
        asked.append(archive)
        return 75

    monkeypatch.setattr("cardex.cli.submit.run_submit", run_submit)
    arguments = ("--top-k", 3, "--rerank", 16, "--results", "r.jsonl", "--patience", 2)
    assert cardex("submit", DICOM, *arguments).exit_code == 75
    assert cardex("submit", DICOM, "--results", "-").exit_code == 75
    assert asked == [
        Archive((DICOM,), Question(3, 16), Path("r.jsonl"), None, 120.0),
        Archive((DICOM,), Question(5, 0), None, None, 900.0),
    ]


def test_the_bedside_has_no_manifest(cardex):
    result = cardex("submit", DICOM, "--stat", "--manifest", "m")
    assert result.exit_code == 2
    assert "--stat" in result.output
