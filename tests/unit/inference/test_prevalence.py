import json
import logging

import msgspec
import pytest

from cardex.domain.errors import ConfigurationError
from cardex.inference.prevalence import corrected, corrected_calibration, own_shares, read_shares
from cardex.inference.repository import GRAPHS, ModelVersion
from cardex.inference.statements import CalibratedStatement, Calibration, Predictor
from tests.helpers.embeddings import text_vector
from tests.helpers.fake_encoder import FakeEncoder
from tests.helpers.fake_model import model_info

KNOWN = {"AFIB", "NORM", "SR"}


@pytest.fixture
def written(tmp_path):
    def write(content: str):
        path = tmp_path / "shares.csv"
        path.write_text(content)
        return path

    return write


def calibration(**shares: float | None) -> Calibration:
    statements = tuple(
        CalibratedStatement(code, code, code, 3.0, -0.5, share=share)
        for code, share in shares.items()
    )
    return Calibration("m1", 0.0, statements, "fingerprint")


def test_shares_are_read_by_code(written):
    path = written("code,share,note\nAFIB,0.12,\n SR , 0.5,most\n")
    assert read_shares(path, KNOWN) == {"AFIB": 0.12, "SR": 0.5}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "line 1: write the header row code,share"),
        ("AFIB,0.12\n", "line 1: write the header row code,share"),
        ("code,share\nAFIB,0.1\nXX,0.1\n", "line 3: no model in the repository has the statement "
         "'XX': remove the line, or write one of AFIB, NORM, SR"),
        ("code,share\nAFIB,0\n", "line 2: '0' is no share: write a number over 0 and under 1"),
        ("code,share\nAFIB,1\n", "line 2: '1' is no share"),
        ("code,share\nAFIB,12 %\n", "line 2: '12 %' is no share"),
        ("code,share\nAFIB,nan\n", "line 2: 'nan' is no share"),
        ("code,share\nAFIB\n", "line 2: '' is no share"),
        ("code,share\nAFIB,0.1\nAFIB,0.2\n", "line 3: AFIB is there twice"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named_with_line_and_remedy(written, content, words):
    with pytest.raises(ConfigurationError) as caught:
        read_shares(written(content), KNOWN)
    assert caught.value.message.startswith("CARDEX_PREVALENCE: ")
    assert words in caught.value.message


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"CARDEX_PREVALENCE: .*none\.csv"):
        read_shares(tmp_path / "none.csv", KNOWN)


def test_the_log_odds_are_shifted_by_those_of_the_shares():
    ecg = text_vector("an ecg")
    found = corrected(calibration(AFIB=0.1, SR=0.8), {"AFIB": 0.5})
    before, after = (
        Predictor.of(each, FakeEncoder(), model_info()).probabilities(ecg)
        for each in (calibration(AFIB=0.1, SR=0.8), found)
    )
    odds = before / (1 - before) * [9.0, 1.0]
    assert after == pytest.approx(odds / (1 + odds))


def test_without_a_training_share_a_statement_stays_and_the_log_says_so(caplog):
    known = calibration(AFIB=None, SR=0.8)
    with caplog.at_level(logging.WARNING):
        found = corrected(known, {"AFIB": 0.5, "SR": 0.6})
    assert found.statements[0] == known.statements[0]
    assert found.statements[1] != known.statements[1]
    assert "m1 came without the training shares of AFIB" in caplog.text
    assert "SR" not in caplog.text


def test_the_shares_are_part_of_the_fingerprint():
    known = calibration(AFIB=0.1, SR=0.8)
    some = [{}, {"AFIB": 0.5}, {"AFIB": 0.6}, {"SR": 0.5}]
    fingerprints = [corrected(known, shares).fingerprint for shares in some]
    assert fingerprints[0] == "fingerprint"
    assert len(set(fingerprints)) == len(some)


@pytest.fixture
def repository(tmp_path):
    """Two versions, of which each has a statement that the other lacks."""
    for number, codes in ((1, {"AFIB": 0.1}), (2, {"AFIB": 0.2, "SR": 0.8})):
        release = ModelVersion(tmp_path, number)
        for model in GRAPHS:
            release.folder(model).mkdir(parents=True)
            release.graph(model).touch()
        statements = msgspec.to_builtins(calibration(**codes).statements)
        content = {"model_version": f"m{number}", "match_weight": 0.0, "statements": statements}
        release.statements.write_text(json.dumps(content))
    return tmp_path


def test_a_code_of_any_version_may_have_a_share(repository, written):
    shares = own_shares(written("code,share\nSR,0.5\n"), repository)
    one, two = (
        corrected_calibration(repository, shares, model_info(f"m{number}", triton_version=number))
        for number in (1, 2)
    )
    assert one and two
    assert one.statements[0].intercept == -0.5
    assert two.statements[1].intercept < -0.5
    with pytest.raises(ConfigurationError, match="'NORM'"):
        own_shares(written("code,share\nNORM,0.5\n"), repository)


def test_without_a_file_nothing_is_corrected(repository):
    assert own_shares(None, repository) == {}
    assert corrected_calibration(repository, {}, model_info("m3", triton_version=3)) is None
