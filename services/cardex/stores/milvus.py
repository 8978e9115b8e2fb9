"""A connection to Milvus: its errors mapped, and what all collections have in common."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import grpc
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException
from pymilvus.milvus_client.index import IndexParams

from cardex.domain.circuit import Circuit
from cardex.domain.errors import Unavailable
from cardex.stores.vector_index import kind_of

NOT_LOADED = 101
BUILT_WITHIN_S = 3600.0
"""How long Milvus may take to divide the vectors of a large index."""
KEEPALIVE_MS = 300_000
"""The shortest time between pings that a gRPC server allows if it is not told otherwise."""
_ROW_ID = re.compile(r"[\w.:/-]{1,256}", re.ASCII)
T = TypeVar("T")


class Milvus:
    """One connection to a server, made at its first use; for many threads."""

    def __init__(self, uri: str, token: str = "") -> None:
        """Prepare for `uri`; nothing is sent until it is used.

        Args:
            uri: of a Milvus server.
            token: its credentials, "user:password", or "".
        """
        self._uri = uri
        self._token = token
        self._client: MilvusClient | None = None
        self._circuit = Circuit("Milvus")

    def call(self, function: Callable[[MilvusClient], T], read: str = "") -> T:
        """Call the client; `read` names the collection that is read, which has to be loaded.

        Raises:
            Unavailable: if Milvus is down or refuses.
        """
        return self._circuit.call(lambda: self._once(function, read))

    def rows(self, name: str, ids: Sequence[str], *fields: str) -> list[dict[str, Any]]:
        """Return fields of the rows of a collection that have one of the ids."""
        named = row_ids(ids)
        if not named:
            return []
        return list(
            self.call(
                lambda client: client.get(
                    name, ids=named, output_fields=list(fields), timeout=10.0
                ),
                name,
            )
        )

    def pages(
        self, name: str, size: int, *fields: str, where: str = ""
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield fields of all rows of a collection that an expression fits, some at a time."""
        iterator = self.call(
            lambda client: client.query_iterator(
                name, batch_size=size, filter=where, output_fields=list(fields), timeout=30.0
            ),
            name,
        )
        try:
            while rows := self.call(lambda _: iterator.next()):
                yield rows
        finally:
            iterator.close()

    def count(self, name: str, expression: str = "", **options: str | float) -> int:
        """Return the number of rows of a collection that an expression fits."""
        rows = self.call(
            lambda client: client.query(
                name, filter=expression, output_fields=["count(*)"], **options
            ),
            name,
        )
        return int(rows[0]["count(*)"])

    def settle(self, name: str, key: str) -> None:
        """Wait until reads see all that was written, seconds at most; `key` is the primary field.

        A strongly consistent read waits for that whatever it looks for.
        """
        self.call(
            lambda client: client.query(
                name,
                filter=f'{key} == ""',
                output_fields=[key],
                consistency_level="Strong",
                timeout=30.0,
            ),
            name,
        )

    def upsert(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Add or replace rows of a collection."""
        self.call(lambda client: client.upsert(name, rows, timeout=60.0))

    def delete(self, name: str, ids: Sequence[str]) -> None:
        """Delete rows of a collection by their ids; those that are not there are passed over."""
        if named := row_ids(ids):
            self.call(lambda client: client.delete(name, ids=named, timeout=30.0))

    def divide(self, name: str, kind: str, cells: int) -> None:
        """Build the vector index of a collection anew, with so many cells, and load it."""

        def build(client: MilvusClient) -> None:
            client.release_collection(name, timeout=30.0)
            client.drop_index(name, "embedding", timeout=30.0)
            params = vector_index(client, kind, cells)
            client.create_index(name, params, timeout=BUILT_WITHIN_S)
            client.load_collection(name, timeout=600.0)

        self.call(build)

    def commit(self, name: str) -> int:
        """Write a collection down and load it; return how many rows it has."""

        def flush(client: MilvusClient) -> None:
            client.flush(name, timeout=120.0)
            client.load_collection(name, timeout=120.0)

        self.call(flush)
        return self.count(name, consistency_level="Strong", timeout=120.0)

    def _once(self, function: Callable[[MilvusClient], T], read: str) -> T:
        try:
            if self._client is None:
                self._client = connect(self._uri, self._token)
            return function(self._client)
        except MilvusException as error:
            if error.code == NOT_LOADED and read:
                self._load(read)
            raise _unavailable(error) from error
        except (grpc.RpcError, ConnectionError) as error:
            raise _unavailable(error) from error

    def _load(self, name: str) -> None:
        """Load a collection: a server that was restarted knows it but does not search it yet."""
        assert self._client is not None
        try:
            self._client.load_collection(name, timeout=60.0)
        except MilvusException as error:
            raise _unavailable(error) from error


def connect(uri: str, token: str = "", timeout_s: float = 3.0) -> MilvusClient:
    """Return a client of the Milvus server at `uri`, which pings it no more than gRPC lets it.

    pymilvus pings every ten seconds, also between calls. Milvus Lite hangs up on that after two
    minutes without a word of its own (gRPC's `too_many_pings`), and what is asked then fails. A
    connection that has died is noticed by the first bytes that nobody confirms for five seconds,
    since gRPC sets TCP_USER_TIMEOUT where pings are on at all.
    All clients of one server in a process share a connection, that of the first.

    Raises:
        MilvusException: if the server does not answer within the timeout.
    """
    options = {
        "grpc.keepalive_time_ms": KEEPALIVE_MS,
        "grpc.keepalive_permit_without_calls": 0,
    }
    return MilvusClient(uri=uri, token=token, timeout=timeout_s, grpc_options=options)


def row_ids(ids: Iterable[str]) -> list[str]:
    """Return the ids that a row can have.

    The client makes an expression of ids by putting them in quotes, so one that holds a quote would
    be read as a part of the expression.
    """
    return [one for one in ids if _ROW_ID.fullmatch(one)]


def vector_index(client: MilvusClient, kind: str, cells: int) -> IndexParams:
    """Return the parameters of the vector index of the field `embedding`."""
    params = client.prepare_index_params()
    params.add_index(
        "embedding",
        index_type=kind,
        metric_type="IP",
        # Milvus Lite reads them from this key only, and Milvus from it too.
        params={"params": kind_of(kind, cells).build},
    )
    return params


def _unavailable(error: Exception) -> Unavailable:
    return Unavailable(
        f"Milvus: {type(error).__name__}: {str(error)[:200]}",
        reason="MILVUS_UNAVAILABLE",
        retry_after_s=2.0,
    )
