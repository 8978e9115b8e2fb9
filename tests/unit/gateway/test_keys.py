import os
import stat
import tomllib

import pytest

from cardex.domain.errors import ConfigurationError, Unauthenticated
from cardex.gateway.keys import (
    ANYBODY,
    KeyRing,
    Principal,
    Scope,
    add_to_file,
    hash_key,
    new_key,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys.toml"


def rewrite(path, content: str) -> None:
    """Write a file so that its time of change differs for certain."""
    before = path.stat().st_mtime_ns
    path.write_text(content)
    os.utime(path, ns=(before + 10**9, before + 10**9))


# Making keys.


def test_the_file_holds_the_hash_and_never_the_key(path):
    key = add_to_file(path, "icu", ["submit"])
    assert key not in path.read_text()
    (entry,) = tomllib.loads(path.read_text())["key"]
    assert entry == {"name": "icu", "scopes": ["submit"], "sha256": hash_key(key)}


def test_only_its_owner_reads_a_new_file(path):
    add_to_file(path, "icu", ["submit"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_two_keys_are_alike():
    keys = {new_key("icu", [Scope.SUBMIT])[0] for _ in range(20)}
    assert len(keys) == 20
    assert all(key.startswith("cdx_") and len(key) > 40 for key in keys)


def test_a_second_key_leaves_the_first_in_force(path):
    first = add_to_file(path, "icu", ["submit"])
    second = add_to_file(path, "archive", ["submit", "index"])
    ring = KeyRing(path)
    assert ring.identify(first).name == "icu"
    assert ring.identify(second).name == "archive"


def test_a_second_key_stands_on_a_line_of_its_own(path):
    first = add_to_file(path, "icu", ["submit"])
    path.write_text(path.read_text().rstrip("\n"))
    add_to_file(path, "archive", ["submit"])
    assert KeyRing(path).identify(first).name == "icu"


def test_a_key_of_an_archive_is_known_with_it(path):
    own = add_to_file(path, "feed", ["index"], "north")
    other = add_to_file(path, "icu", ["submit"])
    ring = KeyRing(path)
    assert ring.identify(own) == Principal("feed", frozenset({Scope.INDEX}), "north")
    assert ring.identify(other).archive == ""


def test_without_an_archive_the_file_names_none(path):
    add_to_file(path, "icu", ["submit"])
    assert "archive" not in path.read_text()


@pytest.mark.parametrize("archive", ["a/b", "a b", 'a"\nscopes = ["admin', "x" * 65, "Zürich"])
def test_an_odd_archive_is_refused(path, archive):
    with pytest.raises(ConfigurationError, match=r"archive .*1 to 64 letters"):
        add_to_file(path, "icu", ["submit"], archive)
    assert not path.exists()


def test_a_name_is_given_once(path):
    add_to_file(path, "icu", ["submit"])
    before = path.read_text()
    with pytest.raises(ConfigurationError, match="a key named 'icu' already"):
        add_to_file(path, "icu", ["search"])
    assert path.read_text() == before


def test_an_unknown_scope_is_refused_with_the_known_ones(path):
    with pytest.raises(ConfigurationError, match="the scopes are submit, search, index, admin"):
        add_to_file(path, "icu", ["submit", "delete"])
    assert not path.exists()


@pytest.mark.parametrize("name", ["", "a b", 'a"\n[[key]]', "x" * 65, "Zürich"])
def test_an_odd_name_is_refused(path, name):
    with pytest.raises(ConfigurationError, match="1 to 64 letters"):
        add_to_file(path, name, ["submit"])
    assert not path.exists()


@pytest.mark.parametrize(
    "content", ["[[key]\n", '[[key]]\nname = "icu"\n'], ids=["no toml", "no hash"]
)
def test_a_broken_file_takes_no_key_and_stays_as_it_is(path, content):
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"keys\.toml"):
        add_to_file(path, "icu", ["submit"])
    assert path.read_text() == content


@pytest.mark.parametrize("content", ["", "# no key yet\n"], ids=["nothing", "a comment"])
def test_an_empty_file_takes_its_first_key(path, content):
    path.write_text(content)
    key = add_to_file(path, "icu", ["submit"])
    assert KeyRing(path).identify(key).name == "icu"


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot write"):
        add_to_file(tmp_path / "none" / "keys.toml", "icu", ["submit"])


# Knowing keys.


def test_a_known_key_has_its_name_and_scopes(path):
    key = add_to_file(path, "icu", ["submit", "search"])
    assert KeyRing(path).identify(key) == Principal("icu", frozenset({Scope.SUBMIT, Scope.SEARCH}))


@pytest.mark.parametrize("wrong", ["", "cdx_", "cdx_x", "Zürich"])
def test_an_unknown_key_is_refused(path, wrong):
    add_to_file(path, "icu", ["submit"])
    with pytest.raises(Unauthenticated) as caught:
        KeyRing(path).identify(wrong)
    assert caught.value.reason == "API_KEY_UNKNOWN"


def test_the_hash_itself_is_no_key(path):
    key = add_to_file(path, "icu", ["submit"])
    with pytest.raises(Unauthenticated):
        KeyRing(path).identify(hash_key(key))


def test_a_hash_may_be_written_in_upper_case(path):
    key = add_to_file(path, "icu", ["submit"])
    rewrite(path, path.read_text().replace(hash_key(key), hash_key(key).upper()))
    assert KeyRing(path).identify(key).name == "icu"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "key = 3\n",
        "[[key]\n",
        '[[key]]\nname = "a"\nscopes = ["submit"]\n',
        '[[key]]\nname = "a"\nsha256 = "0000"\nscopes = ["submit"]\n',
        f'[[key]]\nname = "a"\nsha256 = "{"0" * 64}"\nscopes = ["everything"]\n',
        f'[[key]]\nsha256 = "{"0" * 64}"\nscopes = ["submit"]\n',
        f'[[key]]\nname = "a"\nsha256 = "{"0" * 64}"\nscopes = ["submit"]\narchive = "a/b"\n',
        f'[[key]]\nname = "a"\nsha256 = "{"0" * 64}"\nscopes = ["submit"]\narchive = ["north"]\n',
    ],
    ids=[
        "empty",
        "number",
        "no toml",
        "no hash",
        "short hash",
        "unknown scope",
        "no name",
        "odd archive",
        "list of archives",
    ],
)
def test_a_broken_file_stops_the_start_with_its_name(path, content):
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"keys\.toml.*cardex keys add"):
        KeyRing(path)


def test_a_missing_file_stops_the_start(path):
    with pytest.raises(ConfigurationError, match=r"keys\.toml"):
        KeyRing(path)


# Reading the file again.


def test_a_changed_file_is_read_again(path):
    old = add_to_file(path, "icu", ["submit"])
    ring = KeyRing(path)
    new, entry = new_key("archive", [Scope.INDEX])
    rewrite(path, entry)
    ring.reload()
    assert ring.identify(new).name == "archive"
    with pytest.raises(Unauthenticated):
        ring.identify(old)


@pytest.mark.parametrize("content", ["[[key]\n", ""], ids=["no toml", "empty"])
def test_a_file_that_breaks_leaves_the_old_keys_in_force(path, content):
    key = add_to_file(path, "icu", ["submit"])
    ring = KeyRing(path)
    rewrite(path, content)
    with pytest.raises(ConfigurationError):
        ring.reload()
    assert ring.identify(key).name == "icu"


def test_a_file_that_vanishes_leaves_the_old_keys_in_force(path):
    key = add_to_file(path, "icu", ["submit"])
    ring = KeyRing(path)
    path.unlink()
    with pytest.raises(ConfigurationError):
        ring.reload()
    assert ring.identify(key).name == "icu"


# What a caller may do.


@pytest.mark.parametrize(
    ("scopes", "allowed", "may"),
    [
        ({Scope.SUBMIT}, {Scope.SUBMIT}, True),
        ({Scope.SUBMIT}, {Scope.SEARCH}, False),
        ({Scope.SEARCH}, {Scope.SEARCH, Scope.INDEX}, True),
        ({Scope.ADMIN}, {Scope.INDEX}, True),
        (set(), set(Scope), False),
    ],
)
def test_a_scope_opens_what_it_is_for_and_admin_opens_all(scopes, allowed, may):
    assert Principal("a", frozenset(scopes)).may(frozenset(allowed)) is may


def test_a_caller_sees_its_own_jobs_and_an_administrator_all():
    assert Principal("icu", frozenset({Scope.SUBMIT})).owner == "icu"
    assert Principal("root", frozenset({Scope.ADMIN})).owner is None


def test_an_administrator_of_an_archive_sees_its_own_jobs_alone():
    assert Principal("root", frozenset({Scope.ADMIN}), "north").owner == "root"


def test_without_a_key_file_everybody_is_the_administrator():
    assert ANYBODY.may(frozenset())
    assert ANYBODY.owner is None
