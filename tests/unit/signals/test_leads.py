import numpy as np
import pytest

from cardex.domain.ecg import LEADS
from cardex.domain.errors import InvalidEcg
from cardex.signals.leads import arrange, einthoven_residual, repeated
from tests.helpers.ecgs import ecg


def test_a_lead_that_stands_twice_is_found_under_any_name():
    assert repeated(["I", "Lead I"]) == "I"
    assert repeated(["RESP", "RESP", *LEADS]) == ""


def test_leads_are_arranged_by_name():
    signal = ecg()
    shuffled = {f"ECG {lead}": row for lead, row in reversed(list(zip(LEADS, signal, strict=True)))}
    np.testing.assert_array_equal(arrange(shuffled, field="x"), signal)


def test_a_lead_that_stands_twice_is_refused_by_its_name():
    by_name = dict(zip(LEADS, ecg(), strict=True)) | {"Lead V1": ecg()[0]}
    with pytest.raises(InvalidEcg, match="lead V1 stands twice") as caught:
        arrange(by_name, field="x")
    assert (caught.value.reason, caught.value.field) == ("LEAD_SET", "x")


def test_missing_limb_leads_are_derived():
    by_name = {lead: row for lead, row in zip(LEADS, ecg(), strict=True) if lead[0] == "V"}
    by_name |= {"I": ecg()[0], "II": ecg()[1]}
    np.testing.assert_allclose(arrange(by_name, field="x"), ecg(), rtol=0, atol=1e-6)


def test_the_field_at_fault_is_named():
    with pytest.raises(InvalidEcg, match="missing leads II, V1") as caught:
        arrange({"I": ecg()[0]}, field="ecg.samples.leads")
    assert (caught.value.reason, caught.value.field) == ("LEAD_SET", "ecg.samples.leads")


def test_leads_that_fit_together_have_no_residual():
    residual = einthoven_residual(ecg())
    assert residual.dtype == np.float32
    np.testing.assert_allclose(residual, np.zeros(4), atol=1e-6)


@pytest.mark.parametrize("place", range(4))
def test_the_residual_is_the_rms_of_what_does_not_fit(place):
    signal = ecg()
    noise = np.random.default_rng(0).normal(0.0, 0.2, (signal.shape[1],)).astype(np.float32)
    signal[2 + place] += noise
    expected = np.zeros(4)
    expected[place] = np.sqrt(np.mean(noise**2))
    np.testing.assert_allclose(einthoven_residual(signal), expected, atol=1e-5)


def test_leads_that_were_swapped_have_a_large_residual():
    swapped = ecg()[[1, 0, *range(2, 12)]]
    assert einthoven_residual(swapped).max() > 0.05
