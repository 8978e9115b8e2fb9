"""Lua scripts of the state store, each of which takes many jobs in one step."""

import hashlib
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

import redis
from redis.exceptions import NoScriptError

from cardex.stores.redis import mapped

STORE = "the state store"
Argument = str | bytes | int


class Scripts:
    """The scripts of `stores/lua`, each one atomic step."""

    # Only a submission may be refused for lack of memory: work in hand must always end.
    _MAY_BE_REFUSED = frozenset({"submit"})

    def __init__(self, client: redis.Redis, names: Iterable[str]) -> None:
        """Prepare the scripts `names`; each is loaded when the store does not know it yet."""
        self._client = client
        self._bodies = {name: self._body(name) for name in names}
        self._hashes = {
            name: hashlib.sha1(body.encode(), usedforsecurity=False).hexdigest()
            for name, body in self._bodies.items()
        }

    def _body(self, name: str) -> str:
        folder = files("cardex.stores") / "lua"
        flags = "" if name in self._MAY_BE_REFUSED else " flags=allow-oom"
        body = (folder / "prelude.lua").read_text() + (folder / f"{name}.lua").read_text()
        return f"#!lua{flags}\n{body}"

    def run(self, name: str, arguments: Sequence[Argument]) -> Any:  # noqa: ANN401
        """Run a script and return its reply.

        Raises:
            Overloaded: if the store is out of memory.
            Unavailable: if the store is down.
        """
        sha = self._hashes[name]
        with mapped(STORE):
            try:
                return self._client.evalsha(sha, 0, *arguments)
            except NoScriptError:
                self._client.script_load(self._bodies[name])
                return self._client.evalsha(sha, 0, *arguments)
