import numpy as np
import pytest

from cardex.evaluation import languages
from cardex.evaluation.intervals import Subset
from cardex.evaluation.languages import embed_names
from cardex.reports.ptbxl import Record, StatementKind
from cardex.reports.translations import LANGUAGES
from cardex.signals.image_spec import ImageSpec

COUNT = 60
PATIENTS = np.arange(COUNT)
EVERY = Subset.of("all", PATIENTS, PATIENTS)
AFIB = {"en": "atrial fibrillation", "de": "Vorhofflimmern", "sv": "förmaksflimmer"}
KINDS = {
    code: StatementKind(words, "", "", False, True)
    for code, words in {"AFIB": AFIB["en"], "PACE": "paced", "XX": "unknown"}.items()
}


class Told:
    """Reads atrial fibrillation in English and German, and takes all else for the opposite."""

    spec = ImageSpec()
    specs = (spec,)

    def images(self, images):
        raise NotImplementedError

    def texts(self, texts):
        known = [text in (AFIB["en"], AFIB["de"]) for text in texts]
        return np.array([[1.0, 0.0] if each else [-1.0, 0.0] for each in known], dtype=np.float32)


@pytest.fixture
def records():
    """Every second ECG has atrial fibrillation; three are paced."""
    return [
        Record(n, n, 9, "", {"AFIB": 100.0} if n % 2 else {"PACE": 0.0} if n < 6 else {}, "")
        for n in range(COUNT)
    ]


@pytest.fixture
def ecgs(records):
    slope = np.linspace(-0.2, 0.2, COUNT)
    first = np.array([1.0 if "AFIB" in each.codes else -1.0 for each in records]) + slope
    return np.stack([first, np.zeros(COUNT)], axis=1).astype(np.float32)


def test_only_statements_that_have_a_name_in_every_language_are_measured():
    names = embed_names(Told(), KINDS)
    assert list(names) == list(LANGUAGES)
    assert {tuple(each) for each in names.values()} == {("AFIB", "PACE")}
    assert embed_names(Told(), {"XX": KINDS["XX"]}) == {}
    assert embed_names(Told(), {}) == {}


def test_each_language_is_held_against_english(ecgs, records):
    found = languages.summary(ecgs, embed_names(Told(), KINDS), records, EVERY)
    assert found
    assert found["AUROC"]["en"] == found["AUROC"]["de"] == [1.0, 1.0, 1.0]
    assert found["AUROC"]["sv"] == [0.0, 0.0, 0.0]
    assert found["difference"] == {"de": [0.0, 0.0, 0.0], "sv": [-1.0, -1.0, -1.0]}
    assert found["order"] == {"en-de": 1.0, "en-sv": -1.0, "de-sv": -1.0}
    # Three paced ECGs are too few.
    assert found["statements"] == {"AFIB": {"positive": 30, "en": 1.0, "de": 1.0, "sv": 0.0}}


def test_where_no_statement_has_ecgs_enough_nothing_is_measured(ecgs, records):
    few = Subset.of("few", np.arange(6), PATIENTS)
    assert languages.summary(ecgs, embed_names(Told(), KINDS), records, few) is None
