"""What both towers learn from: records, their reports once each, statements and terms."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cardex.reports.ptbxl import Record

MIN_RECORDS = 20


@dataclass(frozen=True, slots=True)
class Corpus:
    """Training records and everything that follows from their texts and codes.

    Attributes:
        records: those with a report.
        codes: statements that at least `MIN_RECORDS` of them carry, in order.
        texts: their distinct reports, in order.
        own: (records,) which text is each record's.
    """

    records: list[Record]
    codes: list[str]
    texts: list[str]
    own: NDArray[np.int64]

    @classmethod
    def of(cls, records: Sequence[Record], minimum: int = MIN_RECORDS) -> "Corpus":
        """Take the records that have a report."""
        kept = [record for record in records if record.text]
        counts = Counter(code for record in kept for code in record.codes)
        texts = sorted({record.text for record in kept})
        place = {text: row for row, text in enumerate(texts)}
        return cls(
            records=kept,
            codes=sorted(code for code, count in counts.items() if count >= minimum),
            texts=texts,
            own=np.array([place[record.text] for record in kept], dtype=np.int64),
        )

    def statements_of_texts(self) -> NDArray[np.float32]:
        """Return (texts, codes): the mean of the statements of the records with that text."""
        matrix = statement_matrix(self.records, self.codes)
        sums = np.zeros((len(self.texts), len(self.codes)), dtype=np.float32)
        np.add.at(sums, self.own, matrix)
        counts = np.bincount(self.own, minlength=len(self.texts))
        return np.asarray(sums / np.maximum(counts, 1)[:, None], dtype=np.float32)


def statement_matrix(records: Sequence[Record], codes: Sequence[str]) -> NDArray[np.float32]:
    """Return (records, codes) float32: likelihood / 100, with 1 where none was given."""
    column = {code: i for i, code in enumerate(codes)}
    matrix = np.zeros((len(records), len(codes)), dtype=np.float32)
    for row, record in enumerate(records):
        for code, likelihood in record.codes.items():
            if code in column:
                matrix[row, column[code]] = likelihood / 100.0 if likelihood > 0 else 1.0
    return matrix
