import msgspec
import numpy as np
import pytest

from cardex.inference.agreement import (
    Agreement,
    added_by_commonness,
    expected_jaccard,
    stated,
    without_filling,
)

AXES = Agreement(weight=0.02, report_length=12.0, axes={"AFIB": 2, "LVH": 0})


def test_certain_statements_give_the_jaccard_index():
    own = np.array([1.0, 1.0, 0.0, 0.0])
    others = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 1, 1], [0, 0, 0, 0]], dtype=float)
    np.testing.assert_allclose(expected_jaccard(own, others), [1.0, 1 / 3, 0.0, 0.0])


def test_doubt_lowers_the_agreement_of_what_is_alike():
    sure, unsure = (
        expected_jaccard(np.array([p, 0.0]), np.array([[1.0, 0.0]]))[0] for p in (0.9, 0.4)
    )
    assert (sure, unsure) == (pytest.approx(0.9), pytest.approx(0.4))


def test_a_text_gains_by_the_logarithm_of_its_records():
    common = msgspec.structs.replace(AXES, commonness_weight=0.5)
    found = added_by_commonness(np.array([0.0, 1.0, 10.0, 100.0]), common)
    np.testing.assert_allclose(found, [0.0, 0.0, 0.5 * np.log(10), np.log(10)])
    untold = added_by_commonness(np.array([1.0, 100.0]), AXES)
    assert not untold.any()


def test_without_any_statement_nothing_agrees():
    assert expected_jaccard(np.zeros(3), np.zeros((2, 3))).tolist() == [0.0, 0.0]


def test_a_reports_statements_stand_on_the_axes_of_its_vector():
    vectors = np.zeros((2, 5), dtype=np.float32)
    vectors[0, 2], vectors[1, 0] = 1.0 / 12.0**0.5, 0.5 / 12.0**0.5
    vectors[1, 2] = -0.1
    found = stated(vectors, AXES, ["AFIB", "unknown", "LVH"])
    np.testing.assert_allclose(found, [[1.0, 0.0, 0.0], [0.0, 0.0, 0.5]], atol=1e-6)


@pytest.mark.parametrize(
    "fields",
    [
        {"weight": -1.0},
        {"report_length": 0.0},
        {"axes": {}},
        {"axes": {"AFIB": -1}},
        {"commonness_weight": -0.1},
        {"commonness_weight": 1e308},
    ],
)
def test_values_that_cannot_be_are_refused(fields):
    whole = {"weight": 0.02, "report_length": 12.0, "axes": {"AFIB": 2}}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(whole | fields, Agreement)


def test_a_text_that_is_searched_for_is_near_by_what_it_says_alone():
    how = msgspec.structs.replace(AXES, filling=3, whole=2, report_length=4.0)
    texts = np.array([[0.3, 0.4, 0.0, 0.866], [0.0, 0.0, 0.0, 1.0]], dtype=np.float32)
    found = without_filling(texts, how)
    np.testing.assert_allclose(found[0], [0.6, 0.8, 0.0, 0.0], atol=1e-6)
    np.testing.assert_array_equal(found[1], texts[1])  # it says nothing
    assert without_filling(texts, AXES) is texts
    report = np.array([[0.5, 0.0, 0.5, 0.7071]], dtype=np.float32)
    np.testing.assert_allclose(without_filling(report, how), report, atol=1e-4)
