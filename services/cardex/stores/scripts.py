"""Lua scripts of the state store, run many at a time in one round trip."""

import hashlib
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

import redis
from redis.exceptions import NoScriptError, RedisError

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
        """Run a script once and return its reply; raises as `run_many`."""
        return self.run_many(name, [arguments])[0]

    def run_many(self, name: str, calls: Sequence[Sequence[Argument]]) -> list[Any]:
        """Run a script once for each list of arguments, in one round trip; returns the replies.

        The calls are independent: each is atomic by itself, and one that fails stops no other.

        Raises:
            Overloaded: if the store is out of memory.
            Unavailable: if the store is down.
        """
        if not calls:
            return []
        replies = self._send(name, calls)
        unknown = [n for n, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            with mapped(STORE):
                self._client.script_load(self._bodies[name])
            again = self._send(name, [calls[n] for n in unknown])
            for n, reply in zip(unknown, again, strict=True):
                replies[n] = reply
        for reply in replies:
            if isinstance(reply, RedisError):
                with mapped(STORE):
                    raise reply
        return replies

    def _send(self, name: str, calls: Sequence[Sequence[Argument]]) -> list[Any]:
        sha = self._hashes[name]
        with mapped(STORE):
            if len(calls) == 1:
                try:
                    return [self._client.evalsha(sha, 0, *calls[0])]
                except NoScriptError as error:
                    return [error]
            with self._client.pipeline(transaction=False) as pipeline:
                for arguments in calls:
                    pipeline.evalsha(sha, 0, *arguments)
                return pipeline.execute(raise_on_error=False)
