import numpy as np
import pytest

from cardex.evaluation.zero_shot import levels, measure, statements
from cardex.reports.ptbxl import Record, StatementKind

KINDS = {
    "IMI": StatementKind("inferior infarction", "MI", "IMI", False, False),
    "AMI": StatementKind("anterior infarction", "MI", "AMI", False, False),
    "NORM": StatementKind("normal", "NORM", "NORM", False, False),
    "AFIB": StatementKind("atrial fibrillation", "", "", False, True),
    "NDT": StatementKind("non-diagnostic T", "STTC", "STTC", True, False),
}
CODES = list(KINDS)


def record(number: int, *codes: str) -> Record:
    return Record(number, number, 9, "x", dict.fromkeys(codes, 100.0), "")


@pytest.fixture
def fold() -> tuple[list[Record], np.ndarray]:
    """Ten ECGs of each statement, each embedded as its statement's axis."""
    records = [record(number, CODES[number % 5]) for number in range(50)]
    return records, np.eye(5, dtype=np.float32)[np.arange(50) % 5]


PROMPTS = {code: np.eye(5, dtype=np.float32)[place] for place, code in enumerate(CODES)}


def test_levels_group_statements():
    found = {level.name: level.members for level in levels(KINDS)}
    assert list(found) == ["superclass", "subclass", "form", "rhythm", "all"]
    assert found["superclass"]["MI"] == ("IMI", "AMI")
    assert found["rhythm"] == {"AFIB": ("AFIB",)}
    assert found["form"] == {"NDT": ("NDT",)}
    assert len(found["all"]) == 5


def test_statements_of_no_kind_have_the_last_level_only():
    (level,) = levels({"X": StatementKind("X", "", "", False, False)})
    assert (level.name, dict(level.members)) == ("all", {"X": ("X",)})


def test_a_perfect_scorer_tells_every_class(fold):
    records, ecgs = fold
    found = measure(ecgs, PROMPTS, records, KINDS)
    assert {level["AUROC"][0] for level in found.values()} == {1.0}
    assert found["superclass"]["classes"] == 3
    assert found["superclass"]["AUROC"] == [1.0, 1.0, 1.0]


def test_a_reversed_scorer_is_below_chance(fold):
    records, ecgs = fold
    found = measure(-ecgs, PROMPTS, records, KINDS)
    assert found["rhythm"]["AUROC"] == [0.0, 0.0, 0.0]
    assert found["all"]["AUROC"][0] == 0.0


def test_a_class_of_several_statements_has_the_score_of_its_best(fold):
    records, ecgs = fold
    # Only the second statement of MI is told: that is enough for the half of its ECGs.
    deaf = {**PROMPTS, "IMI": -np.eye(5, dtype=np.float32)[0]}
    found = measure(ecgs, deaf, records, KINDS)
    assert 0.5 < found["superclass"]["AUROC"][0] < 1.0


def test_classes_with_too_few_ecgs_are_left_out(fold):
    records, ecgs = fold
    few = [each for each in records if "AFIB" not in each.codes or each.ecg_id < 20]
    rows = [each.ecg_id for each in few]
    found = measure(ecgs[rows], PROMPTS, few, KINDS)
    assert found["rhythm"] == {"AUROC": None, "classes": 0, "needs": 5}
    assert found["all"]["classes"] == 4
    assert "AFIB" not in statements(ecgs[rows], PROMPTS, few)


def test_each_statement_is_told_alone(fold):
    records, ecgs = fold
    assert statements(ecgs, PROMPTS, records) == dict.fromkeys(sorted(CODES), 1.0)
