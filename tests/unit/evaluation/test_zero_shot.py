import dataclasses

import numpy as np
import pytest

from cardex.evaluation import zero_shot
from cardex.evaluation.intervals import Subset
from cardex.evaluation.metrics import MIN_POSITIVE
from cardex.evaluation.zero_shot import Areas, levels, statements, summary
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


def areas(ecgs, prompts, records) -> dict[str, Areas]:
    rows = np.arange(len(records))
    patients = np.array([each.patient_id for each in records])
    every = Subset.of("all", rows, patients)
    return zero_shot.measure(ecgs, prompts, records, levels(KINDS), every)


def measure(ecgs, prompts, records):
    return summary(areas(ecgs, prompts, records))


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
    found = measure(ecgs, PROMPTS, records)
    assert {level["AUROC"][0] for level in found.values()} == {1.0}
    assert found["superclass"]["classes"] == 3
    assert found["superclass"]["AUROC"] == [1.0, 1.0, 1.0]


def test_a_reversed_scorer_is_below_chance(fold):
    records, ecgs = fold
    found = measure(-ecgs, PROMPTS, records)
    assert found["rhythm"]["AUROC"] == [0.0, 0.0, 0.0]
    assert found["all"]["AUROC"][0] == 0.0


def test_a_class_of_several_statements_has_the_score_of_its_best(fold):
    records, ecgs = fold
    # Only the second statement of MI is told: that is enough for the half of its ECGs.
    deaf = {**PROMPTS, "IMI": -np.eye(5, dtype=np.float32)[0]}
    found = measure(ecgs, deaf, records)
    assert 0.5 < found["superclass"]["AUROC"][0] < 1.0


def test_classes_with_too_few_ecgs_are_left_out(fold):
    records, ecgs = fold
    few = [each for each in records if "AFIB" not in each.codes or each.ecg_id < 20]
    rows = [each.ecg_id for each in few]
    found = measure(ecgs[rows], PROMPTS, few)
    assert found["rhythm"] == {"AUROC": None, "classes": 0, "needs": 5}
    assert found["all"]["classes"] == 4
    assert "AFIB" not in statements(areas(ecgs[rows], PROMPTS, few)["all"])


def test_a_class_that_is_judged_is_one_in_every_sample(fold):
    """A rare class, left out of the samples that have it least, would make their mean better."""
    records, ecgs = fold
    rare = [record for record in records if "AFIB" not in record.codes]
    rare += [record for record in records if "AFIB" in record.codes][:MIN_POSITIVE]
    vectors = np.array([ecgs[record.ecg_id] for record in rare])
    again = areas(vectors, PROMPTS, rare)["all"].again
    place = sorted(CODES).index("AFIB")
    without = np.isnan(again[:, place]).mean()
    assert without < 0.02  # samples that have none at all
    assert not np.isnan(again[:, np.arange(5) != place]).any()


def test_each_statement_is_told_alone(fold):
    records, ecgs = fold
    found = statements(areas(ecgs, PROMPTS, records)["all"])
    alone = {"positive": 10, "AUROC": [1.0, 1.0, 1.0]}
    assert found == dict.fromkeys(sorted(CODES), alone)


def test_a_subset_is_measured_alone(fold):
    records, ecgs = fold
    blind = np.where(np.arange(50)[:, None] < 25, ecgs, -ecgs)
    half = Subset.of("half", np.arange(25), np.arange(50))
    found = zero_shot.measure(blind, PROMPTS, records, levels(KINDS), half)
    assert summary(found)["all"]["AUROC"] == [1.0, 1.0, 1.0]


def test_differences_are_paired(fold):
    records, ecgs = fold
    random = np.random.default_rng(0)
    noisy = ecgs + random.normal(0.0, 1.0, ecgs.shape).astype(np.float32)
    one, other = areas(ecgs, PROMPTS, records)["all"], areas(noisy, PROMPTS, records)["all"]
    same = other.difference(other)
    assert same is not None
    assert (same.mean, same.low, same.high) == (0.0, 0.0, 0.0)
    gap, macro = one.difference(other), other.macro()
    assert gap is not None
    assert macro is not None
    assert gap.mean == pytest.approx(1.0 - macro.mean)
    assert gap.low < gap.mean < gap.high


def test_few_patients_have_no_interval(fold):
    records, ecgs = fold
    few = [dataclasses.replace(record, patient_id=record.ecg_id % 9) for record in records]
    assert len(measure(ecgs, PROMPTS, few)["all"]["AUROC"]) == 1
    assert len(measure(ecgs, PROMPTS, records)["all"]["AUROC"]) == 3
