import pytest

from cardex.api.client import Client
from cardex.domain.errors import ConfigurationError, InvalidEcg, PayloadTooLarge


def test_a_folder_that_is_not_there_or_empty_is_refused_before_anything_is_sent(tmp_path):
    with Client("127.0.0.1:1") as client:
        with pytest.raises(InvalidEcg, match=r"none does not exist"):
            next(client.submit_folder(tmp_path / "none"))
        with pytest.raises(InvalidEcg, match="no ECG file there"):
            next(client.submit_folder(tmp_path))


def test_a_recording_that_no_message_carries_is_refused_with_both_sizes(tmp_path):
    (tmp_path / "large.dcm").write_bytes(bytes(17 * 1024 * 1024))
    with (
        Client("127.0.0.1:1") as client,
        pytest.raises(PayloadTooLarge, match=r"large\.dcm has 17825813 bytes: at most 16777216"),
    ):
        client.retrieve(tmp_path / "large.dcm")


def test_a_wrong_setting_beside_the_arguments_is_named(monkeypatch):
    monkeypatch.setenv("CARDEX_RATE_PER_S", "fast")
    with pytest.raises(ConfigurationError, match="CARDEX_RATE_PER_S"):
        Client("127.0.0.1:1")
