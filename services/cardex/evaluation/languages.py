"""Measures how far a statement's detection depends on the language of its prompt."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import rankdata

from cardex.domain.ecg import Embedding
from cardex.evaluation.embedder import Embedder
from cardex.evaluation.intervals import Subset
from cardex.evaluation.metrics import Values
from cardex.evaluation.zero_shot import SINGLE, Areas, Level, measure
from cardex.reports.ptbxl import Record, StatementKind
from cardex.reports.translations import LANGUAGES, names_of

ENGLISH = "en"
DIGITS = 4

Names = Mapping[str, Mapping[str, Embedding]]
"""Language to statement code to the (E,) embedding of the statement's name."""


def embed_names(embedder: Embedder, kinds: Mapping[str, StatementKind]) -> Names:
    """Embed the names of those statements that have one in every language.

    Args:
        embedder: embeds the names.
        kinds: statement code to its English description.

    Returns:
        The same codes for each language; nothing if no statement has all names.
    """
    codes = named(kinds)
    if not codes:
        return {}
    names = [names_of(code, kinds[code].description) for code in codes]
    return {
        language: dict(zip(codes, embedder.texts([each[language] for each in names]), strict=True))
        for language in LANGUAGES
    }


def named(kinds: Mapping[str, StatementKind]) -> list[str]:
    """Return the codes of those statements that have a name in every language."""
    return [
        code
        for code, kind in sorted(kinds.items())
        if set(LANGUAGES) <= names_of(code, kind.description).keys()
    ]


def summary(
    ecgs: Embedding, names: Names, records: Sequence[Record], subset: Subset
) -> dict[str, Any] | None:
    """Measure the statements' names in every language as prompts, on a subset of the ECGs.

    Args:
        ecgs: (ECGs, E) embeddings.
        names: embeddings of the statements' names.
        records: the ECGs' records.
        subset: the ECGs to measure on.

    Returns:
        By language the macro AUROC as [mean, low, high]; "difference" from English, likewise and
        paired; "order", the mean Spearman correlation of the ECGs' scores between two languages;
        and "statements", each with its areas. None where no statement has ECGs enough.
    """
    codes = list(names[ENGLISH])
    level = Level(SINGLE, {code: (code,) for code in codes})
    areas = {
        language: measure(ecgs, names[language], records, [level], subset)[SINGLE]
        for language in LANGUAGES
    }
    judged = _judged(areas[ENGLISH])
    if not judged:
        return None
    macro = {language: found.macro() for language, found in areas.items()}
    gaps = {
        language: found.difference(areas[ENGLISH])
        for language, found in areas.items()
        if language != ENGLISH
    }
    return {
        "AUROC": {name: each.rounded(DIGITS) for name, each in macro.items() if each},
        "difference": {name: each.rounded(DIGITS) for name, each in gaps.items() if each},
        "order": _orders(ecgs[subset.rows], names, judged),
        "statements": _statements(areas, judged),
    }


def _judged(areas: Areas) -> list[str]:
    """Return the codes that enough ECGs have, and lack."""
    known = zip(areas.labels, areas.area, strict=True)
    return [code for code, area in known if not np.isnan(area)]


def _ordered(areas: Areas, codes: Sequence[str]) -> list[float]:
    """Return the areas of codes in their order."""
    by_code = dict(zip(areas.labels, areas.area, strict=True))
    return [float(by_code[code]) for code in codes]


def _statements(areas: Mapping[str, Areas], codes: Sequence[str]) -> dict[str, Any]:
    positive = dict(zip(areas[ENGLISH].labels, areas[ENGLISH].positive, strict=True))
    by_language = {language: _ordered(found, codes) for language, found in areas.items()}
    return {
        code: {
            "positive": int(positive[code]),
            **{language: round(found[row], DIGITS) for language, found in by_language.items()},
        }
        for row, code in enumerate(codes)
    }


def _orders(ecgs: Embedding, names: Names, codes: Sequence[str]) -> dict[str, float]:
    """Return the mean Spearman correlation over the statements, by pair of languages."""
    ranked = {
        language: _ranks(ecgs @ np.stack([names[language][code] for code in codes]).T)
        for language in LANGUAGES
    }
    return {
        f"{one}-{other}": round(float((ranked[one] * ranked[other]).mean()), DIGITS)
        for one, other in combinations(LANGUAGES, 2)
    }


def _ranks(scores: Embedding) -> Values:
    """Return each column's ranks with mean 0 and deviation 1: (ECGs, statements)."""
    ranks = rankdata(scores, axis=0)
    centred = ranks - ranks.mean(axis=0)
    deviation = centred.std(axis=0)
    return np.asarray(centred / np.where(deviation > 0, deviation, 1.0), dtype=np.float64)
