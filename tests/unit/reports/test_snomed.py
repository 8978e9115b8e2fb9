import csv
import re

import pytest

from cardex.reports.ptbxl import STATEMENTS
from cardex.reports.snomed import CONCEPTS, snomed_code

# Verhoeff's tables: the check digit that every SNOMED CT id ends with.
_MULTIPLY = [
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
]  # fmt: skip
_PERMUTE = [
    "0123456789", "1576283094", "5803796142", "8916043527",
    "9453126870", "4286573901", "2793806415", "7046913258",
]  # fmt: skip


def checks(number: str) -> bool:
    digit = 0
    for place, character in enumerate(reversed(number)):
        digit = int(_MULTIPLY[digit][int(_PERMUTE[place % 8][int(character)])])
    return digit == 0


@pytest.mark.parametrize("code", CONCEPTS)
def test_every_concept_has_a_valid_id_and_a_name(code):
    concept = CONCEPTS[code]
    assert re.fullmatch(r"[1-9]\d{5,17}", concept.snomed_code)
    assert checks(concept.snomed_code)
    assert concept.term


def test_a_wrong_digit_is_noticed():
    assert checks("164889003")
    assert not checks("164889004")


def test_only_statements_of_ptbxl_have_concepts(shared):
    with (shared / "ptbxl" / STATEMENTS).open(newline="") as lines:
        codes = {row[0] for row in csv.reader(lines)}
    assert codes >= CONCEPTS.keys()


@pytest.mark.parametrize(
    ("code", "found"), [("AFIB", "164889003"), ("SVARR", ""), ("no such code", "")]
)
def test_a_statement_without_a_fitting_concept_has_no_id(code, found):
    assert snomed_code(code) == found
