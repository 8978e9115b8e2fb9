import pytest

from cardex.domain.leads import canonical


@pytest.mark.parametrize(
    ("name", "lead"),
    [
        ("I", "I"),
        ("avr", "aVR"),
        ("AVL", "aVL"),
        ("v6", "V6"),
        (" II ", "II"),
        ("ECG I", "I"),
        ("EKG_V3", "V3"),
        ("Lead III", "III"),
        ("lead-aVF", "aVF"),
        ("ECG Lead V1", "V1"),
        ("MDC_ECG_LEAD_AVR", "aVR"),
        ("mdc_ecg_lead_I", "I"),
    ],
)
def test_a_lead_is_known_by_its_common_names(name, lead):
    assert canonical(name) == lead


@pytest.mark.parametrize(
    "name", ["", "IV", "V7", "MLII", "II_2", "Lead", "RESP", "V1 V2", "-aVR", "I" * 50, "ecg" * 30]
)
def test_what_is_no_lead_is_none(name):
    assert canonical(name) is None
