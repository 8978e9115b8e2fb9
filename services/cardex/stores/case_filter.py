"""Filters of cases as expressions of Milvus, made from typed fields alone."""

import hashlib

from cardex.domain.cases import CaseFilter, Sex

UNKNOWN_AGE = -1
WITH_ECG = "has_ecg == true"


def token(word: str) -> str:
    """Return what stands for a word in fields and expressions: 32 hex digits, or "" for none.

    So a caller's word is a value, whatever it holds, and never a part of an expression.
    """
    return archive_token(" ".join(word.split()).casefold())


def archive_token(word: str) -> str:
    """Return the same for an archive's name, of which "A" and "a" are two."""
    return hashlib.sha256(word.encode("utf-8", "replace")).hexdigest()[:32] if word else ""


def month_number(month: str) -> int:
    """Return a month as a number that orders as months do, 202611 for "2026-11"; 0 for none."""
    return int(month[:4]) * 100 + int(month[5:7]) if month else 0


def every_of(*parts: str) -> str:
    """Return the expression that all of some parts fit; an empty part fits all."""
    return " and ".join(filter(None, parts))


def expression(wanted: CaseFilter | None, archive: str = "") -> str:
    """Return the expression of a filter for the cases of one archive; "" where all fit.

    Args:
        wanted: the filter, validated; None for none.
        archive: whose cases may be seen; "" for those of all.
    """
    parts = [f'archive == "{archive_token(archive)}"'] if archive else []
    if wanted is not None:
        parts += [*_of_patient(wanted), *_of_words(wanted), *_of_month(wanted)]
    return " and ".join(parts)


def _of_patient(wanted: CaseFilter) -> list[str]:
    parts = []
    if wanted.min_age is not None or wanted.max_age is not None:
        parts.append(f"age >= {max(0, int(wanted.min_age or 0))}")
    if wanted.max_age is not None:
        parts.append(f"age <= {int(wanted.max_age)}")
    if wanted.sex is not Sex.UNKNOWN:
        parts.append(f'sex == "{wanted.sex.value}"')
    return parts


def _of_words(wanted: CaseFilter) -> list[str]:
    parts = [f'array_contains(codes, "{token(code)}")' for code in wanted.with_codes]
    parts += [f'not array_contains(codes, "{token(code)}")' for code in wanted.without_codes]
    if wanted.languages:
        parts.append(f"language in {[token(word) for word in wanted.languages]}")
    if wanted.devices:
        parts.append(f"device in {[token(word) for word in wanted.devices]}")
    return parts


def _of_month(wanted: CaseFilter) -> list[str]:
    parts = []
    if wanted.from_month or wanted.to_month:
        parts.append(f"month >= {max(1, month_number(wanted.from_month))}")
    if wanted.to_month:
        parts.append(f"month <= {month_number(wanted.to_month)}")
    return parts
