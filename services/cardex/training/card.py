"""Writes what accompanies a model: model cards and calibrated statements."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cardex.evaluation import tables
from cardex.evaluation.calibration import Curve
from cardex.inference.agreement import Agreement
from cardex.inference.novelty import Novelty
from cardex.inference.repository import ModelVersion
from cardex.reports.ptbxl import StatementKind
from cardex.reports.snomed import snomed_code
from cardex.training.space import ECG_LENGTH, REPORT_LENGTH

if TYPE_CHECKING:
    from cardex.training.recipe import Recipe


AGREEMENT = 5.0
"""What a full agreement of the statements adds to the score of an ECG and a report. With it, the
statements of the first reports agree more; with much more, an ECG's own report is found less."""
COMMONNESS = 0.05
"""What each natural logarithm of the number of a report's records adds to that score. With much
more, an ECG's own report is found less among common ones."""


@dataclass(frozen=True, slots=True)
class Card:
    """The content of a model's cards and statements.

    Attributes:
        kinds: statement code to description and classes.
        curves: statement code to its calibration curve.
        match_weight: factor of the match logit that is added to the similarity in re-ranking.
        figures: figures on ECGs that were not used in training, by subset of the ECGs.
        data: description of the training data.
        novelty: tells ECGs that the model has seen nothing like; None to export none.
        agreement: what is added to similarities; None to rank by similarity alone.
    """

    kinds: Mapping[str, StatementKind]
    curves: Mapping[str, Curve]
    match_weight: float
    figures: Mapping[str, Any]
    data: str
    novelty: Novelty | None = None
    agreement: Agreement | None = None


def write_statements(path: Path, version: str, card: Card) -> None:
    """Write `statements.json`: each statement's prompt, calibration curve, share and axis."""
    rows = []
    for code, curve in sorted(card.curves.items()):
        row: dict[str, str | float] = {
            "code": code,
            "description": card.kinds[code].description,
            "prompt": card.kinds[code].description,
            "snomed_code": snomed_code(code),
            "slope": round(curve.slope, 4),
            "intercept": round(curve.intercept, 4),
        }
        if curve.share is not None:
            row["share"] = round(curve.share, 6)
        rows.append(row)
    content: dict[str, Any] = {
        "model_version": version, "match_weight": card.match_weight, "statements": rows,
    }  # fmt: skip
    if card.agreement is not None:
        content["agreement"] = msgspec.to_builtins(card.agreement)
    path.write_text(json.dumps(content, indent=1) + "\n")


def agreement_of(codes: Sequence[str], embedding: int) -> Agreement:
    """Return how a model weighs the agreement of statements, and the commonness of a text.

    Args:
        codes: the statements of its first axes.
        embedding: number of its axes, of which the last four are those of `report_embedding`.
    """
    lengths = (ECG_LENGTH * REPORT_LENGTH) ** 0.5
    return Agreement(
        weight=round(AGREEMENT / lengths, 6),
        report_length=REPORT_LENGTH,
        axes={code: axis for axis, code in enumerate(codes)},
        filling=embedding - 1,
        whole=embedding - 4,
        commonness_weight=round(COMMONNESS / lengths, 6),
    )


def write_card(release: ModelVersion, version: str, recipe: "Recipe", card: Card) -> None:
    """Write the model card for programs (JSON), and the one for people (Markdown)."""
    spec = msgspec.to_builtins(recipe.spec)
    fields = {
        "model_version": version,
        "use": "RESEARCH USE ONLY",
        "data": card.data,
        "recipe": {**msgspec.to_builtins(recipe), "spec": spec},
        "figures": dict(card.figures),
    }
    release.card.write_text(json.dumps(fields, indent=1) + "\n")
    release.page.write_text(page(version, card))


def page(version: str, card: Card) -> str:
    """Return the model card for people, in Markdown."""
    return f"""# Model card: {version}

**RESEARCH USE ONLY.** Not a medical device. No diagnosis, triage or treatment may rest on its
answers.

## What it is
An image encoder (one ViT or several, over a picture of the 12-lead ECG), a report
encoder (BERT-style) and, where there is one, a matcher, which share one space of 256
dimensions: ECGs lie near reports that state what they show.

## What it was trained on
{card.data}

## Figures
<!-- figures:card -->
{tables.card({"figures": card.figures})}
<!-- /figures:card -->

## Limits
- Few ECGs, of one country, one vendor's devices and two decades ago; adults. Other devices, other
  populations, children, paced rhythms and rare findings are not tested, and it is weakest where
  training ECGs were few.
- Its input is ten seconds at 100 Hz between 0.5 and 40 Hz: it cannot detect fine pacing spikes and
  late potentials.
- Reports are German, English and some Swedish; other languages are read as unknown words.
- Probabilities are calibrated on the same hospital's ECGs: with another prevalence they are wrong,
  unless its shares are given (`CARDEX_PREVALENCE`).
"""
