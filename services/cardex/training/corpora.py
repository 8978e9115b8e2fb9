"""The training corpus: records, their distinct reports, and their statements."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cardex.reports.ptbxl import Record

MIN_RECORDS = 20


@dataclass(frozen=True, slots=True)
class Corpus:
    """Training records with their distinct reports and frequent statements.

    Attributes:
        records: the records that have a report.
        codes: sorted codes of the statements that at least `MIN_RECORDS` records have.
        texts: the sorted distinct reports.
        own: (records,) int64, index of each record's report in `texts`.
    """

    records: list[Record]
    codes: list[str]
    texts: list[str]
    own: NDArray[np.int64]

    @classmethod
    def of(cls, records: Sequence[Record], minimum: int = MIN_RECORDS) -> "Corpus":
        """Make the corpus of those records that have a report; `minimum` as `MIN_RECORDS`."""
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
        """Return the mean statements of each text's records: (texts, codes) float32."""
        matrix = statement_matrix(self.records, self.codes)
        sums = np.zeros((len(self.texts), len(self.codes)), dtype=np.float32)
        np.add.at(sums, self.own, matrix)
        counts = np.bincount(self.own, minlength=len(self.texts))
        return np.asarray(sums / np.maximum(counts, 1)[:, None], dtype=np.float32)


def statement_matrix(records: Sequence[Record], codes: Sequence[str]) -> NDArray[np.float32]:
    """Return each record's statements, (records, codes) float32.

    A statement that the record has counts likelihood / 100, or 1 if no likelihood was given.
    """
    column = {code: i for i, code in enumerate(codes)}
    matrix = np.zeros((len(records), len(codes)), dtype=np.float32)
    for row, record in enumerate(records):
        for code, likelihood in record.codes.items():
            if code in column:
                matrix[row, column[code]] = likelihood / 100.0 if likelihood > 0 else 1.0
    return matrix
