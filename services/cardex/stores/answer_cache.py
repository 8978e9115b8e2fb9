"""The cache Redis: answers and embeddings. Losing it loses time, never data."""

import hashlib
import logging
from typing import cast

import msgspec
import numpy as np
import redis as redis_py

from cardex.domain.ecg import Embedding
from cardex.domain.index import IndexInfo
from cardex.domain.jobs import Question
from cardex.domain.quality import SignalQuality
from cardex.stores.redis import mapped

logger = logging.getLogger(__name__)

PREFIX = "cardex:cache:"
ERASED = "cardex:erased:"
AT_ONCE = 1_000

_PUT = """
-- KEYS: the mark of an index's last erasure, then of entries.
-- ARGV: the index's generation that the entries are made of, their ms to live, their values.
local erased = redis.call('GET', KEYS[1])
if erased and ARGV[1] < erased then return 0 end
for i = 2, #KEYS do redis.call('SET', KEYS[i], ARGV[i + 1], 'PX', ARGV[2]) end
return 1
"""


def answer_key(
    payload_sha256: str, question: Question, model_version: str, index_generation: str
) -> str:
    """Return the key of an answer: everything that the answer depends on."""
    parts = (
        payload_sha256,
        msgspec.json.encode(question).decode(),
        model_version,
        index_generation,
    )
    return f"{PREFIX}result:{hashlib.sha256('|'.join(parts).encode()).hexdigest()}"


class EmbeddedEcg(msgspec.Struct, frozen=True):
    """What is known of one ECG: its embedding as float32 bytes, and how good its signal is."""

    vector: bytes
    quality: SignalQuality


class AnswerCache:
    """Answers by question, embeddings by ECG. A cache that is down is an empty cache."""

    def __init__(self, client: redis_py.Redis, ttl_s: float = 7 * 86_400.0) -> None:
        """Use `client`; entries live for `ttl_s` seconds unless evicted before."""
        self._client = client
        self._ttl_ms = int(ttl_s * 1000)
        self._store = client.register_script(_PUT)

    def answers(self, keys: list[str]) -> list[bytes | None]:
        """Return the stored answers as the contract's bytes, None where there is none."""
        return self._get(keys)

    def put_answers(self, answers: dict[str, bytes], index: IndexInfo) -> None:
        """Store answers, as the contract's bytes, by key.

        They are left out where something was erased since `index`, which they are made of: a worker
        hears of that a moment later.
        """
        self._put(answers, index)

    def embeddings(
        self, payloads: list[str], model_version: str
    ) -> list[tuple[Embedding, SignalQuality] | None]:
        """Return embedding and signal quality of each payload, None where there is none."""
        found = self._get([_embedding_key(sha256, model_version) for sha256 in payloads])
        return [_embedding(stored) for stored in found]

    def put_embeddings(
        self,
        embedded: dict[str, tuple[Embedding, SignalQuality]],
        model_version: str,
        index: IndexInfo,
    ) -> None:
        """Store embedding and signal quality by payload; `index` is as for answers."""
        self._put(
            {
                _embedding_key(sha256, model_version): msgspec.msgpack.encode(
                    EmbeddedEcg(vector.astype(np.float32).tobytes(), quality)
                )
                for sha256, (vector, quality) in embedded.items()
            },
            index,
        )

    def forget(self, index: IndexInfo) -> None:
        """Delete all entries: what was erased from the index must not stay in answers.

        Args:
            index: as it is after the erasure; nothing made of it before is stored any more.

        Raises:
            Unavailable: if the cache is down, so that the caller erases again.
        """
        with mapped("the cache"), self._client.pipeline(transaction=False) as pipeline:
            self._client.set(_mark(index), index.generation, px=self._ttl_ms)
            for key in self._client.scan_iter(match=f"{PREFIX}*", count=AT_ONCE):
                pipeline.unlink(key)
                if len(pipeline) >= AT_ONCE:
                    pipeline.execute()
            pipeline.execute()

    def _get(self, keys: list[str]) -> list[bytes | None]:
        if not keys:
            return []
        try:
            found = self._client.mget(keys)
        except redis_py.exceptions.RedisError as error:
            logger.warning("the cache does not answer: %s", type(error).__name__)
            return [None] * len(keys)
        return cast("list[bytes | None]", found)

    def _put(self, entries: dict[str, bytes], index: IndexInfo) -> None:
        if not entries:
            return
        try:
            self._store(
                keys=[_mark(index), *entries],
                args=[index.generation, self._ttl_ms, *entries.values()],
            )
        except redis_py.exceptions.RedisError as error:
            logger.warning("the cache does not take entries: %s", type(error).__name__)


def _mark(index: IndexInfo) -> str:
    """Return the key of the generation of an index's last erasure, after which later ones sort."""
    return f"{ERASED}{index.name}"


def _embedding(stored: bytes | None) -> tuple[Embedding, SignalQuality] | None:
    """Decode an entry; one that another release wrote, or that is damaged, is none."""
    if stored is None:
        return None
    try:
        ecg = msgspec.msgpack.decode(stored, type=EmbeddedEcg)
        return np.frombuffer(ecg.vector, dtype=np.float32), ecg.quality
    except (msgspec.DecodeError, ValueError) as error:
        logger.warning("an entry of the cache cannot be read: %s", type(error).__name__)
        return None


def _embedding_key(payload_sha256: str, model_version: str) -> str:
    digest = hashlib.sha256(f"{payload_sha256}|{model_version}".encode()).hexdigest()
    return f"{PREFIX}embedding:{digest}"
