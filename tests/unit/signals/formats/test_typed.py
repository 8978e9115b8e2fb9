"""Typed samples: units, the order of leads, derived leads, and what is refused."""

import numpy as np
import pytest

from cardex.domain.ecg import LEADS, Waveform
from cardex.domain.errors import InvalidEcg
from cardex.signals.readers import read
from tests.helpers.ecgs import ecg, typed
from tests.helpers.formats import refusal

SAMPLES = "ecg.samples.leads"


def test_millivolts_are_taken_as_they_are():
    signal = ecg()
    waveform = read(typed(signal, unit="mV"))
    np.testing.assert_array_equal(waveform.signal, signal)
    assert waveform == Waveform(waveform.signal, 500.0, "samples")


@pytest.mark.parametrize("unit", ["uV", "µV", "μV", "UV"])
def test_microvolts_become_millivolts(unit):
    signal = ecg()
    np.testing.assert_allclose(
        read(typed(signal * 1000, unit=unit)).signal, signal, rtol=1e-6, atol=1e-9
    )


def test_leads_come_in_any_order_and_case():
    order = np.random.default_rng(0).permutation(12)
    names = [LEADS[n].upper() if n % 2 else LEADS[n].lower() for n in order]
    np.testing.assert_array_equal(read(typed(ecg()[order], leads=names)).signal, ecg())


def test_limb_leads_that_are_missing_are_derived():
    kept = [n for n, lead in enumerate(LEADS) if lead not in ("III", "aVR", "aVL", "aVF")]
    waveform = read(typed(ecg()[kept], leads=[LEADS[n] for n in kept]))
    np.testing.assert_allclose(waveform.signal, ecg(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("missing", ["III", "aVR", "aVL", "aVF"])
def test_a_limb_lead_is_derived_by_einthoven_and_goldberger(missing):
    place = LEADS.index(missing)
    rest = [lead for lead in LEADS if lead != missing]
    waveform = read(typed(np.delete(ecg(), place, axis=0), leads=rest))
    np.testing.assert_allclose(waveform.signal[place], ecg()[place], rtol=0, atol=1e-6)


def test_a_limb_lead_that_is_sent_is_not_derived_anew():
    signal = ecg()
    signal[2] += 0.05
    np.testing.assert_array_equal(read(typed(signal)).signal, signal)


def test_channels_that_are_no_ecg_lead_are_ignored():
    signal = np.vstack([ecg(), ecg()[:1]])
    np.testing.assert_array_equal(read(typed(signal, leads=[*LEADS, "RESP"])).signal, ecg())


def test_no_samples_are_refused():
    assert refusal(typed(np.empty((12, 0), np.float32))) == ("EMPTY_PAYLOAD", SAMPLES)
    assert refusal(typed(np.empty((0, 0), np.float32), leads=())) == ("EMPTY_PAYLOAD", SAMPLES)


@pytest.mark.parametrize("missing", ["I", "II", "V1", "V6"])
def test_a_lead_that_cannot_be_derived_must_be_there(missing):
    rest = [lead for lead in LEADS if lead != missing]
    source = typed(np.delete(ecg(), LEADS.index(missing), axis=0), leads=rest)
    with pytest.raises(InvalidEcg, match=rf"missing leads {missing}\b") as caught:
        read(source)
    assert (caught.value.reason, caught.value.field) == ("LEAD_SET", SAMPLES)


@pytest.mark.parametrize("second", ["V1", "v1"])
def test_a_lead_that_stands_twice_is_refused(second):
    source = typed(np.vstack([ecg(), ecg()[:1]]), leads=[*LEADS, second])
    assert refusal(source) == ("LEAD_SET", "ecg.samples.leads.name")


def test_leads_of_different_length_are_refused():
    signal = list(ecg())
    signal[3] = signal[3][:-1]
    assert refusal(typed(signal)) == ("LEAD_SET", SAMPLES)


@pytest.mark.parametrize("unit", ["", "unspecified", "mm", "pV"])
def test_an_unknown_unit_is_refused(unit):
    assert refusal(typed(ecg(), unit=unit)) == ("UNIT", "ecg.samples.unit")


def test_typed_samples_name_the_lead_that_stands_twice():
    with pytest.raises(InvalidEcg, match="lead V1 stands twice"):
        read(typed(np.vstack([ecg(), ecg()[:1]]), leads=[*LEADS, "ECG V1"]))
