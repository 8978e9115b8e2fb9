import json
import logging

import msgspec
import numpy as np
import pytest

from cardex.domain.errors import ConfigurationError, VersionMismatch
from cardex.domain.reports import Prediction
from cardex.inference.repository import ModelVersion
from cardex.inference.statements import (
    MAX_PREDICTIONS,
    MIN_PROBABILITY,
    CalibratedStatement,
    Calibration,
    Predictor,
    load_calibration,
    served_calibration,
)
from tests.helpers.embeddings import text_vector
from tests.helpers.fake_encoder import FakeEncoder
from tests.helpers.fake_model import model_info

AFIB = {
    "code": "AFIB", "description": "atrial fibrillation", "prompt": "atrial fibrillation",
    "snomed_code": "164889003", "slope": 12.3, "intercept": -2.1,
}  # fmt: skip
FILE = {"model_version": "m1", "match_weight": 0.25, "statements": [AFIB]}


@pytest.fixture
def written(tmp_path):
    def write(content) -> object:
        path = tmp_path / "statements.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def loaded(written, content) -> Calibration:
    found = load_calibration(written(content))
    assert found
    return found


def test_a_file_is_loaded_as_it_was_exported(written):
    found = loaded(written, FILE)
    assert (found.model_version, found.match_weight) == ("m1", 0.25)
    assert found.statements == (msgspec.convert(AFIB, CalibratedStatement),)


def test_another_file_has_another_fingerprint(written):
    first = loaded(written, FILE).fingerprint
    assert loaded(written, FILE).fingerprint == first
    other = {**FILE, "statements": [{**AFIB, "slope": 12.4}]}
    assert loaded(written, other).fingerprint != first


def test_a_missing_file_is_said_in_the_log(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assert load_calibration(tmp_path / "statements.json") is None
    assert "statements.json" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        {"model_version": "m1", "match_weight": 0.0},
        {**FILE, "model_version": ""},
        {**FILE, "match_weight": "much"},
        {**FILE, "statements": []},
        {**FILE, "statements": [{**AFIB, "slope": None}]},
        {**FILE, "statements": [{**AFIB, "prompt": ""}]},
        {**FILE, "statements": [{"code": "AFIB"}]},
        json.dumps(FILE).replace("12.3", "NaN"),
        json.dumps(FILE).replace("12.3", "1e999"),
        {**FILE, "statements": [AFIB, AFIB]},
    ],
)
def test_a_damaged_file_is_refused_with_its_name_and_the_remedy(written, content):
    with pytest.raises(ConfigurationError, match=r"statements\.json.*export it anew"):
        load_calibration(written(content))


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ConfigurationError, match=str(tmp_path)):
        load_calibration(tmp_path)


# With a served model.


@pytest.fixture
def repository(tmp_path):
    """The statements of two versions, side by side."""
    for number in (1, 2):
        path = ModelVersion(tmp_path, number).statements
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({**FILE, "model_version": f"m{number}"}))
    return tmp_path


@pytest.mark.parametrize("number", [1, 2])
def test_a_served_model_has_the_statements_of_its_own_version(repository, number):
    found = served_calibration(repository, model_info(f"m{number}", triton_version=number))
    assert found
    assert found.model_version == f"m{number}"


def test_statements_of_another_model_are_refused_with_both_versions_and_the_file(repository):
    with pytest.raises(
        VersionMismatch, match=r"2/statements\.json belongs to model m2, beside it is m9"
    ):
        served_calibration(repository, model_info("m9", triton_version=2))


def test_a_served_model_may_come_without_statements(repository):
    assert served_calibration(repository, model_info("m3", triton_version=3)) is None


def test_an_axis_that_embeddings_lack_is_refused(repository):
    path = ModelVersion(repository, 2).statements
    agreement = {"weight": 0.1, "report_length": 2.0, "axes": {"AFIB": 3, "NORM": 8}}
    path.write_text(json.dumps({**FILE, "model_version": "m2", "agreement": agreement}))
    enough = model_info("m2", triton_version=2, dimension=9)
    found = served_calibration(repository, enough)
    assert found
    assert found.agreement
    assert found.agreement.axes["NORM"] == 8
    with pytest.raises(ConfigurationError, match="have 8 components, agreement has axis 8"):
        served_calibration(repository, model_info("m2", triton_version=2, dimension=8))


def predictor(*statements: CalibratedStatement) -> Predictor:
    return Predictor.of(Calibration("m1", 0.0, statements, ""), FakeEncoder(), model_info())


def test_the_prompts_are_embedded_by_the_model_that_they_were_calibrated_for():
    encoder = FakeEncoder("model-2", "model-1")
    calibration = Calibration("model-1", 0.0, (statement("AFIB", 1.0, 0.0),), "")
    Predictor.of(calibration, encoder, model_info("model-1"))
    assert encoder.asked == ["model-1"]


def statement(code: str, slope: float, intercept: float) -> CalibratedStatement:
    return CalibratedStatement(code, f"{code} in words", code, slope, intercept, "17")


def test_a_probability_is_the_calibrated_similarity_of_ecg_and_prompt():
    ecg = text_vector("an ecg")
    found = predictor(statement("AFIB", 3.0, -0.5)).probabilities(ecg)
    expected = 1.0 / (1.0 + np.exp(-(3.0 * float(text_vector("AFIB") @ ecg) - 0.5)))
    np.testing.assert_allclose(found, [expected], rtol=1e-6)


def test_extreme_odds_do_not_overflow():
    with np.errstate(all="raise"):
        found = predictor(statement("A", 0.0, 1e6), statement("B", 0.0, -1e6))
        assert found.probabilities(text_vector("x")).tolist() == [1.0, 0.0]


def test_probable_statements_are_shown_the_most_probable_first():
    found = predictor(statement("A", 0.0, 0.0), statement("B", 0.0, 2.0), statement("C", 0.0, -9.0))
    assert found.predict(found.probabilities(text_vector("x"))) == (
        Prediction("B", "B in words", "17", 0.8808),
        Prediction("A", "A in words", "17", 0.5),
    )


def test_no_more_are_shown_than_can_be_read():
    many = [statement(str(number), 0.0, number / 10) for number in range(30)]
    all_of_them = predictor(*many)
    found = all_of_them.predict(all_of_them.probabilities(text_vector("x")))
    assert len(found) == MAX_PREDICTIONS
    assert found[0].code == "29"
    assert all(prediction.probability >= MIN_PROBABILITY for prediction in found)
