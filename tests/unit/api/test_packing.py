import numpy as np
import pytest

from cardex.api.client import ecg_of_samples
from cardex.api.convert.ecg import from_payload, scaled, to_payload
from cardex.api.packing import LARGEST, RESOLUTIONS, pack
from cardex.domain.ecg import TypedSamples
from cardex.domain.errors import InvalidEcg


def counts(seed: int = 0, size: int = 2500) -> np.ndarray:
    return np.random.default_rng(seed).integers(-3000, 3000, size)


@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize("product", ["double", "single"])
def test_samples_of_a_usual_resolution_come_back_bit_by_bit(resolution, product):
    single = counts().astype(np.float32) * np.float32(resolution)
    values = single if product == "single" else (counts() * resolution).astype(np.float32)
    packed = pack(values)
    assert packed is not None
    np.testing.assert_array_equal(scaled(*packed), values)


def test_a_resolution_that_the_caller_knows_is_tried_first():
    values = (counts() * 0.0037).astype(np.float32)
    assert pack(values) is None
    packed = pack(values, 0.0037)
    assert packed is not None
    assert packed[1] == 0.0037
    np.testing.assert_array_equal(scaled(*packed), values)


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(1).normal(size=500).astype(np.float32),
        np.array([0.0, np.nan], np.float32),
        np.array([0.0, np.inf], np.float32),
        np.array([0.0, 0.0005, (LARGEST + 1) * 0.005 + 0.0005], np.float32),
    ],
    ids=["between the steps", "nan", "infinite", "too wide"],
)
def test_samples_that_would_lose_something_stay_numbers(values):
    assert pack(values) is None


@pytest.mark.parametrize("extreme", [LARGEST, -LARGEST])
def test_the_largest_step_does_not_overflow(extreme):
    values = np.array([0.001 * extreme, 0.001], np.float32)
    packed = pack(values)
    assert packed is not None
    np.testing.assert_array_equal(scaled(*packed), values)


def test_a_packed_message_takes_half_of_the_bytes_and_is_the_same_ecg():
    signal = (counts(size=12 * 5000).reshape(12, 5000) * 0.001).astype(np.float32)
    lean, plain = ecg_of_samples(signal, 500), ecg_of_samples(signal + np.float32(1e-5), 500)
    assert lean.ByteSize() < 0.51 * plain.ByteSize()
    found = from_payload(to_payload(lean))
    assert isinstance(found, TypedSamples)
    np.testing.assert_array_equal(np.stack(found.values), signal)


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        (lambda lead: lead.values.append(1.0), "steps", "one of the two"),
        (lambda lead: setattr(lead, "steps", lead.steps[:-1]), "steps", "of two bytes"),
        (lambda lead: setattr(lead, "resolution", 0.0), "resolution", "a resolution of 0"),
        (lambda lead: setattr(lead, "resolution", -1.0), "resolution", "a resolution of -1"),
        (lambda lead: setattr(lead, "resolution", float("nan")), "resolution", "nan"),
    ],
)
def test_steps_that_do_not_fit_are_refused(change, field, words):
    ecg = ecg_of_samples(np.full((12, 1000), 0.001), 500)
    change(ecg.samples.leads[3])
    with pytest.raises(InvalidEcg, match=words) as caught:
        from_payload(to_payload(ecg))
    assert caught.value.field == f"ecg.samples.leads.{field}"


@pytest.mark.parametrize("resolution", [float("nan"), float("inf"), 0.0, -0.001])
def test_a_resolution_that_is_none_is_passed_over(resolution):
    packed = pack(np.array([0.001, 0.002], np.float32), resolution)
    assert packed is not None
    assert packed[1] == 0.001
