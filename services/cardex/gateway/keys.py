"""API keys: who may do what. The file holds hashes; a key itself is shown once, when it is made."""

import hashlib
import hmac
import re
import secrets
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cardex.domain.errors import ConfigurationError, Unauthenticated

LOCAL = "local"
_NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)


class Scope(StrEnum):
    """What a key may do; ADMIN may do everything and see everybody's jobs."""

    SUBMIT = "submit"
    SEARCH = "search"
    INDEX = "index"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller.

    Attributes:
        name: of its key.
        scopes: what it may do.
        archive: whose cases it files and sees; "" for those of all archives.
    """

    name: str
    scopes: frozenset[Scope]
    archive: str = ""

    def may(self, allowed: frozenset[Scope]) -> bool:
        """True where one of the scopes is allowed, or the caller is an administrator."""
        return Scope.ADMIN in self.scopes or bool(self.scopes & allowed)

    @property
    def owner(self) -> str | None:
        """Whose jobs it may see: its own, or everybody's (None)."""
        return None if Scope.ADMIN in self.scopes and not self.archive else self.name


ANYBODY = Principal(LOCAL, frozenset({Scope.ADMIN}))
"""The caller where no key file is set, which only loopback and --insecure allow."""


class KeyRing:
    """The keys of one file, read again when the file changes."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            ConfigurationError: if it is missing, unreadable or names an unknown scope.
        """
        self._path = path
        self._modified = 0
        self._keys: dict[str, Principal] = {}
        self.reload()

    def reload(self) -> None:
        """Read the file if it changed; raises as the constructor and then keeps the old keys."""
        try:
            modified = self._path.stat().st_mtime_ns
        except OSError as error:
            raise _unreadable(self._path, error) from error
        if modified != self._modified:
            keys = _known(self._path, _read(self._path))
            if not keys:
                raise _unreadable(self._path, ValueError("it holds no key"))
            self._keys, self._modified = keys, modified

    def identify(self, key: str) -> Principal:
        """Return the caller behind a key, comparing every hash in constant time.

        Raises:
            Unauthenticated: if the key is not known.
        """
        digest = hash_key(key)
        found: Principal | None = None
        for known, principal in self._keys.items():
            if hmac.compare_digest(known, digest):
                found = principal
        if found is None:
            raise Unauthenticated("this API key is not known", reason="API_KEY_UNKNOWN")
        return found


def hash_key(key: str) -> str:
    """Return the stored form. Keys have 256 random bits, so one round of SHA-256 is enough."""
    return hashlib.sha256(key.encode()).hexdigest()


def new_key(name: str, scopes: list[Scope], archive: str = "") -> tuple[str, str]:
    """Return a new key, and the lines that the key file needs for it."""
    key = f"cdx_{secrets.token_urlsafe(32)}"
    listed = ", ".join(f'"{scope.value}"' for scope in scopes)
    entry = f'[[key]]\nname = "{name}"\nscopes = [{listed}]\nsha256 = "{hash_key(key)}"\n'
    return key, entry + (f'archive = "{archive}"\n' if archive else "")


def add_to_file(path: Path, name: str, scopes: Sequence[str], archive: str = "") -> str:
    """Add a new key to a file and return it; with `archive` it sees the cases of that one alone.

    Raises:
        ConfigurationError: if a scope is unknown, the name is taken or odd, or the file cannot be
            written.
    """
    try:
        wanted = [Scope(scope) for scope in scopes]
    except ValueError as error:
        allowed = ", ".join(scope.value for scope in Scope)
        raise ConfigurationError(f"{error}: the scopes are {allowed}") from error
    for what, word in (("name", name), ("archive", archive or name)):
        if not _NAME.fullmatch(word):
            raise ConfigurationError(f"{what} {word!r}: 1 to 64 letters, digits, '_', '.' or '-'")
    content = _read(path) if path.exists() else ""
    taken = {principal.name for principal in _known(path, content).values()}
    if name in taken:
        raise ConfigurationError(f"{path} has a key named {name!r} already")
    key, entry = new_key(name, wanted, archive)
    try:
        path.touch(mode=0o600)
        with path.open("a") as lines:
            lines.write(entry if not content or content.endswith("\n") else f"\n{entry}")
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error
    return key


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def _known(path: Path, content: str) -> dict[str, Principal]:
    """Return the keys of a file's content by their hash."""
    keys = {}
    try:
        for entry in tomllib.loads(content).get("key", []):
            scopes = frozenset(Scope(scope) for scope in entry["scopes"])
            if len(entry["sha256"]) != 64:
                raise ValueError(f"key {entry['name']!r}: sha256 must have 64 hex digits")
            archive = str(entry.get("archive", ""))
            if archive and not _NAME.fullmatch(archive):
                allowed = "1 to 64 letters, digits, '_', '.' or '-'"
                raise ValueError(f"key {entry['name']!r}: archive must be {allowed}")
            keys[entry["sha256"].lower()] = Principal(str(entry["name"]), scopes, archive)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(path, error) from error
    return keys


def _unreadable(path: Path, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"cannot read the API keys in {path}: {type(error).__name__}: {error};"
        " make one with `cardex keys add`"
    )
