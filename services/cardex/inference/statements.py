"""Calibrated statements of a model: probabilities from an ECG's similarity with prompts."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from cardex.domain.ecg import Embedding
from cardex.domain.jobs import Priority
from cardex.domain.reports import Prediction
from cardex.inference.agreement import (
    Agreement,
    added_by_commonness,
    expected_jaccard,
    stated,
    without_filling,
)
from cardex.inference.encoder import Encoder, ModelInfo
from cardex.inference.model_file import read_model_file, require_version, wrong_model_file
from cardex.inference.repository import ModelVersion

MIN_PROBABILITY = 0.1
MAX_PREDICTIONS = 12

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class CalibratedStatement(msgspec.Struct, frozen=True):
    """One statement of `statements.json`.

    Attributes:
        code: the SCP code.
        description: the code in words.
        prompt: the report whose embedding stands for the statement.
        slope: change of the log-odds per unit of cosine similarity between ECG and prompt.
        intercept: the log-odds at a similarity of 0.
        snomed_code: concept id in SNOMED CT, or "".
        share: of the ECGs that the curve was fitted to, those that have the statement; None where
            the file does not tell.
    """

    code: _Text
    description: str
    prompt: _Text
    slope: float
    intercept: float
    snomed_code: str = ""
    share: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None


class _File(msgspec.Struct, frozen=True):
    model_version: _Text
    match_weight: float
    statements: Annotated[tuple[CalibratedStatement, ...], msgspec.Meta(min_length=1)]
    agreement: Agreement | None = None


class Calibration(msgspec.Struct, frozen=True):
    """The calibration of one model version.

    Attributes:
        model_version: the model version that it belongs to.
        match_weight: factor of the match logit that is added to the similarity in re-ranking.
        statements: the statements that have a probability.
        fingerprint: SHA-256 of the file, part of the answer cache's key.
        agreement: how reports' statements are read, and what is added in the ranking; None where
            the model does not tell, and reports are ranked by similarity alone.
    """

    model_version: str
    match_weight: float
    statements: tuple[CalibratedStatement, ...]
    fingerprint: str
    agreement: Agreement | None = None


def load_calibration(path: Path) -> Calibration | None:
    """Load `statements.json`; None, with a warning in the log, if the file does not exist.

    Raises:
        ConfigurationError: if the file cannot be read, or has a code twice.
    """
    read = read_model_file(path, _File, "answers carry no probabilities")
    if read is None:
        return None
    file, fingerprint = read
    codes = Counter(statement.code for statement in file.statements)
    if twice := sorted(code for code, count in codes.items() if count > 1):
        raise wrong_model_file(path, f"twice there: {', '.join(twice)}")
    return Calibration(
        file.model_version,
        file.match_weight,
        file.statements,
        fingerprint,
        file.agreement,
    )


class Predictor:
    """Computes statement probabilities from ECG embeddings; immutable, so threads may share it."""

    def __init__(self, calibration: Calibration, prompts: Embedding) -> None:
        """Prepare predictions.

        Args:
            calibration: the statements.
            prompts: (statements, E) embeddings of their prompts, in their order.
        """
        self._statements = calibration.statements
        self._agreement = calibration.agreement
        self._codes = [statement.code for statement in calibration.statements]
        self._prompts = prompts
        self._slopes = np.array([s.slope for s in calibration.statements])
        self._intercepts = np.array([s.intercept for s in calibration.statements])

    @classmethod
    def of(cls, calibration: Calibration, encoder: Encoder, model: ModelInfo) -> Self:
        """Embed the prompts with a served model; raises Unavailable if the encoder is down."""
        prompts = [statement.prompt for statement in calibration.statements]
        return cls(calibration, encoder.embed_texts(model, prompts, Priority.STAT))

    def probabilities(self, embeddings: Embedding) -> NDArray[np.float64]:
        """Return the probability of each statement: (..., E) embeddings to (..., statements)."""
        odds = self._slopes * (embeddings @ self._prompts.T) + self._intercepts
        # This is the logistic function; in this form it does not overflow.
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * odds)))

    @property
    def codes(self) -> list[str]:
        """Codes of the statements, in their order."""
        return self._codes

    @property
    def agreement_weight(self) -> float:
        """What a full agreement of statements adds to a similarity; 0 where none is added."""
        return self._agreement.weight if self._agreement else 0.0

    @property
    def agrees(self) -> bool:
        """Whether the model tells how reports' statements are read, so `agreement` may be asked."""
        return self._agreement is not None

    def agreement(
        self, probabilities: NDArray[np.float64], reports: Embedding
    ) -> NDArray[np.float64]:
        """Return what agreeing statements add to the similarities of reports.

        Args:
            probabilities: (S,) of an ECG's statements, or (B, S) of several.
            reports: (n, E) embeddings of the reports.

        Returns:
            (n,) or (B, n): weight times expected Jaccard index of their statements.
        """
        assert self._agreement is not None
        others = stated(reports, self._agreement, self._codes)
        return self._agreement.weight * expected_jaccard(probabilities, others)

    def commonness(self, records: Sequence[int]) -> NDArray[np.float64]:
        """Return what is added to reports that so many records bear each: (n,)."""
        assert self._agreement is not None
        return added_by_commonness(np.array(records, dtype=np.float64), self._agreement)

    def question(self, texts: Embedding) -> Embedding:
        """Return what reports are searched by for texts: (n, E) embeddings to (n, E)."""
        return texts if self._agreement is None else without_filling(texts, self._agreement)

    def predict(self, probabilities: NDArray[np.float64]) -> tuple[Prediction, ...]:
        """Return the statements that are probable enough to be shown, the most probable first.

        Args:
            probabilities: (statements,) of one ECG.
        """
        order = np.argsort(-probabilities, kind="stable")[:MAX_PREDICTIONS]
        return tuple(
            _prediction(self._statements[place], float(probabilities[place]))
            for place in order
            if probabilities[place] >= MIN_PROBABILITY
        )


def _prediction(statement: CalibratedStatement, probability: float) -> Prediction:
    return Prediction(
        statement.code, statement.description, statement.snomed_code, round(probability, 4)
    )


def served_calibration(repository: Path, model: ModelInfo) -> Calibration | None:
    """Return the calibration of a served model, None if the model has none.

    Raises:
        ConfigurationError: if its file cannot be read, or names an axis that embeddings lack.
        VersionMismatch: if it belongs to another model version; the message names both.
    """
    path = ModelVersion(repository, model.triton_version).statements
    calibration = load_calibration(path)
    if calibration is None:
        return None
    require_version(path, calibration.model_version, model.version)
    how = calibration.agreement
    axes = () if how is None else (*how.axes.values(), how.filling or 0, how.whole or 0)
    if beyond := [axis for axis in axes if axis >= model.dimension]:
        raise wrong_model_file(
            path, f"embeddings have {model.dimension} components, agreement has axis {beyond[0]}"
        )
    return calibration
