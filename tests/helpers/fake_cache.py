"""A cache of answers and embeddings in memory."""

from cardex.domain.index import IndexInfo


class FakeCache:
    """The AnswerCache in memory."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.vectors: dict[tuple[str, str], tuple] = {}

    def answers(self, keys: list[str]) -> list[bytes | None]:
        return [self.stored.get(key) for key in keys]

    def put_answers(self, answers: dict[str, bytes], index: IndexInfo) -> None:
        self.stored.update(answers)

    def forget(self, index: IndexInfo) -> None:
        self.stored.clear()
        self.vectors.clear()

    def embeddings(self, payloads: list[str], model_version: str) -> list[tuple | None]:
        return [self.vectors.get((sha256, model_version)) for sha256 in payloads]

    def put_embeddings(
        self, embedded: dict[str, tuple], model_version: str, index: IndexInfo
    ) -> None:
        self.vectors.update({(sha, model_version): value for sha, value in embedded.items()})
