"""The report index, as all rooms see it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """One collection of reports.

    Attributes:
        name: of the collection.
        generation: changes with every change of its contents.
        model_version: that embedded its reports.
        created: Unix seconds.
        dimension: of its vectors.
        kind: of its vector index, a key of `KINDS`.
        twin: name and generation of the index that it has the same reports as, by another model,
            and its own generation at that time; empty where it was built from anything else.
        cells: into how many its vectors are divided, of which a search looks at a part; 1 where it
            looks at all vectors.
    """

    name: str
    generation: str
    model_version: str
    created: float
    dimension: int
    kind: str
    twin: tuple[str, ...] = ()
    cells: int = 1

    def same_reports(self, other: "IndexInfo") -> bool:
        """Return whether one is the other, or was made from it and neither has changed since."""
        made_from_other = self.twin == (*other.contents, self.generation)
        other_made_from_it = other.twin == (*self.contents, other.generation)
        return self.contents == other.contents or made_from_other or other_made_from_it

    @property
    def contents(self) -> tuple[str, str]:
        """What names this index with these reports."""
        return self.name, self.generation


@dataclass(frozen=True, slots=True)
class Match:
    """A report's id and its score: the cosine similarity, and what is added to it."""

    report_id: str
    score: float
