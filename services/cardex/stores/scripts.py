"""Lua scripts of the state store, each of which takes many jobs in one step."""

import hashlib
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

import redis
from redis.exceptions import NoScriptError

from cardex.domain.errors import Unavailable
from cardex.stores.redis import mapped

STORE = "the state store"
NOT_REPLICATED = "NOT_REPLICATED"
REPLICATED_WITHIN_MS = 1000
"""How long a submission may wait for replicas."""
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

    def run(self, name: str, arguments: Sequence[Argument], replicas: int = 0) -> Any:  # noqa: ANN401
        """Run a script and return its reply.

        Args:
            name: of the script.
            arguments: its ARGV.
            replicas: how many replicas have to have what it changed, before this returns.

        Raises:
            Overloaded: if the store is out of memory.
            Unavailable: if the store is down; NOT_REPLICATED if it changed, and too few replicas
                have that in time.
        """
        with mapped(STORE):
            try:
                return self._once(name, arguments, replicas)
            except NoScriptError:
                self._client.script_load(self._bodies[name])
                return self._once(name, arguments, replicas)

    def _once(self, name: str, arguments: Sequence[Argument], replicas: int) -> Any:  # noqa: ANN401
        if not replicas:
            return self._client.evalsha(self._hashes[name], 0, *arguments)
        # WAIT counts what its own connection wrote, so both go through one.
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.evalsha(self._hashes[name], 0, *arguments)
            pipeline.execute_command("WAIT", replicas, REPLICATED_WITHIN_MS)  # type: ignore[no-untyped-call]
            reply, reached = pipeline.execute()
        if reached < replicas:
            raise Unavailable(
                f"{reached} of {replicas} replicas have it: send it again with the same request_id",
                reason=NOT_REPLICATED,
                retry_after_s=REPLICATED_WITHIN_MS / 1000,
            )
        return reply


def milliseconds(seconds: float) -> int:
    """Return a time as the scripts take it."""
    return int(seconds * 1000)
