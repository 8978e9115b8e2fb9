from pathlib import Path

import pydantic
import pytest

from cardex.domain import settings as module
from cardex.domain.errors import ConfigurationError
from cardex.domain.settings import Settings, load_settings


@pytest.fixture
def secrets(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SECRETS", tmp_path)
    return tmp_path


def test_every_setting_has_a_default():
    assert load_settings() == Settings()


def test_a_variable_sets_the_field_of_its_name(monkeypatch):
    monkeypatch.setenv("CARDEX_STAT_BATCH", "3")
    assert load_settings().stat_batch == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CARDEX_STAT_BATCH", "33"),
        ("CARDEX_ROUTINE_BATCH", "many"),
        ("CARDEX_RATE_PER_S", "0"),
        ("CARDEX_MAX_PAYLOAD_BYTES", "12"),
        ("CARDEX_METRICS_PORT", "70000"),
        ("CARDEX_INSECURE", "perhaps"),
        ("CARDEX_MILVUS_INDEX", "TREE"),
        ("CARDEX_TRITON_IN_FLIGHT", "0"),
        ("CARDEX_TRITON_TIMEOUT_S", "0"),
    ],
)
def test_a_wrong_value_stops_with_the_name_of_its_variable(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=rf"{name}: "):
        load_settings()


def test_a_wrong_choice_stops_with_the_allowed_ones(monkeypatch):
    monkeypatch.setenv("CARDEX_LOG_LEVEL", "LOUD")
    with pytest.raises(ConfigurationError, match=r"'DEBUG', 'INFO', 'WARNING' or 'ERROR'"):
        load_settings()


@pytest.mark.parametrize("name", ["CARDEX_TOKENIZER", "CARDEX_STATEMENTS"])
def test_what_belongs_to_a_version_is_no_setting(monkeypatch, name):
    monkeypatch.setenv(name, "file.json")
    with pytest.raises(ConfigurationError, match=f"unknown setting {name}"):
        load_settings()


def test_every_wrong_variable_is_named_at_once(monkeypatch):
    monkeypatch.setenv("CARDEX_STAT_BATCH", "33")
    monkeypatch.setenv("CARDEX_LEASE_S", "0")
    with pytest.raises(ConfigurationError, match=r"CARDEX_LEASE_S.*CARDEX_STAT_BATCH"):
        load_settings()


def test_an_unknown_variable_stops_with_its_name(monkeypatch):
    monkeypatch.setenv("CARDEX_TRITON_ULR", "127.0.0.1:1")
    with pytest.raises(ConfigurationError, match="unknown setting CARDEX_TRITON_ULR"):
        load_settings()


def test_a_value_is_not_repeated_in_the_message(monkeypatch):
    monkeypatch.setenv("CARDEX_LEASE_S", "s3cret")
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert "s3cret" not in caught.value.message


def test_settings_show_no_secret():
    settings = Settings(
        state_url="redis://:s3cret@h/0",
        cache_url="redis://:s3cret@h/1",
        milvus_token="root:s3cret",
        api_key="s3cret",
    )
    assert "s3cret" not in repr(settings)


def test_settings_cannot_be_changed():
    with pytest.raises(pydantic.ValidationError):
        setattr(Settings(), "stat_batch", 1)  # noqa: B010 (an assignment is what mypy refuses)


def test_a_file_of_secrets_sets_the_field_of_its_name(secrets):
    (secrets / "cardex_state_url").write_text("redis://:s3cret@state:6379/0\n")
    (secrets / "of_another_program").write_text("x")
    assert load_settings().state_url == "redis://:s3cret@state:6379/0"


def test_a_variable_goes_before_a_file_of_secrets(secrets, monkeypatch):
    (secrets / "cardex_stat_batch").write_text("4")
    monkeypatch.setenv("CARDEX_STAT_BATCH", "3")
    assert load_settings().stat_batch == 3


def test_a_file_of_an_unknown_setting_stops_with_its_name(secrets):
    (secrets / "cardex_state_ulr").write_text("x")
    with pytest.raises(ConfigurationError, match="unknown setting CARDEX_STATE_ULR"):
        load_settings()


def test_a_wrong_value_in_a_file_is_named_and_not_repeated(secrets):
    (secrets / "cardex_lease_s").write_text("s3cret")
    with pytest.raises(ConfigurationError, match="CARDEX_LEASE_S: ") as caught:
        load_settings()
    assert "s3cret" not in caught.value.message


def test_a_file_that_cannot_be_read_stops_with_its_name(secrets, monkeypatch):
    (secrets / "cardex_api_key").write_text("x")

    def refused(*_args, **_options):
        raise PermissionError(13, "Permission denied", "cardex_api_key")

    monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(ConfigurationError, match=r"cannot read .*Permission denied"):
        load_settings()
