"""ISHNE files against what was written into them, and what of them is refused."""

import numpy as np

from cardex.domain.ecg import LEADS
from cardex.signals.readers import read
from tests.helpers.ecgs import ecg
from tests.helpers.formats import ishne, one, refusal

EIGHT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
FILE = "ecg.file.content"


def test_an_ishne_file_is_read_as_it_was_written():
    waveform = read(one(ishne(ecg())))
    np.testing.assert_allclose(waveform.signal, ecg(), rtol=0, atol=0.0013)
    assert (waveform.rate, waveform.source) == (500.0, "ISHNE Holter")


def test_the_leads_of_an_ishne_file_are_told_by_their_codes():
    order = tuple(reversed(EIGHT))
    rows = ecg()[[LEADS.index(lead) for lead in order]]
    waveform = read(one(ishne(rows, leads=order)))
    np.testing.assert_allclose(waveform.signal, ecg(), rtol=0, atol=0.004)


def test_samples_counted_over_all_leads_are_understood():
    assert read(one(ishne(ecg(), declared=12 * 5000))).seconds == 10.0


def test_an_ishne_file_that_ends_early_is_refused():
    assert refusal(one(ishne(ecg())[:-2400])) == ("TRUNCATED_ECG", FILE)
