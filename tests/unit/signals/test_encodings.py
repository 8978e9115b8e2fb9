"""The encodings against pyts, an independent library.

Tolerances: a grey level of the 8-bit image is 1/255 of a channel's range, that is 8e-3 of a GASF
and 4e-3 of an MTF. GASF loses digits in float32 where a sample is next to +-1 (1 - x * x), so it
gets a tenth of a level; the others agree to rounding.
"""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardex.domain.ecg import FilePart
from cardex.signals.encodings import (
    gadf,
    gasf,
    markov_transition_field,
    paa,
    quantile_bins,
    recurrence,
    rescale,
    segment_bounds,
)
from cardex.signals.readers import read

GASF_TOLERANCE = 8e-4
MTF_TOLERANCE = 1e-6
RP_TOLERANCE = 1e-6  # of the range of the series
BINS = 8
SIZES = [64, 128]


def walks(count: int, samples: int) -> np.ndarray:
    steps = np.random.default_rng(7).standard_normal((count, samples))
    return steps.cumsum(axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def real(shared):
    """Leads II and V2 of two PTB-XL records at 100 Hz: (4, 1000) float32, mV."""
    leads = []
    for number in ("00001", "00017"):
        stem = shared / "ptbxl" / "records100" / "00000" / f"{number}_lr"
        parts = [stem.with_suffix(suffix) for suffix in (".hea", ".dat")]
        waveform = read(tuple(FilePart(path.name, path.read_bytes()) for path in parts))
        leads += [waveform.signal[1], waveform.signal[7]]
    return np.stack(leads)


def check_gasf(pyts_image, series, size):
    expected = pyts_image.GramianAngularField(image_size=size, method="summation").fit_transform(
        series.astype(np.float64)
    )
    np.testing.assert_allclose(
        gasf(rescale(paa(series, size))), expected, rtol=0, atol=GASF_TOLERANCE
    )


def check_gadf(pyts_image, series, size):
    expected = pyts_image.GramianAngularField(image_size=size, method="difference").fit_transform(
        series.astype(np.float64)
    )
    found = gadf(rescale(paa(series, size)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=GASF_TOLERANCE)


def check_mtf(pyts_image, series, size):
    expected = pyts_image.MarkovTransitionField(
        image_size=size, n_bins=BINS, strategy="quantile"
    ).fit_transform(series.astype(np.float64))
    found = markov_transition_field(series, size, BINS)
    np.testing.assert_allclose(found, expected, rtol=0, atol=MTF_TOLERANCE)


def check_recurrence(pyts_image, series, size):
    reduced = paa(series, size)
    expected = pyts_image.RecurrencePlot(threshold=None).fit_transform(reduced.astype(np.float64))
    atol = RP_TOLERANCE * float(np.ptp(series))
    np.testing.assert_allclose(recurrence(reduced), expected, rtol=0, atol=atol)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("samples", [128, 700, 1000])
def test_gasf_equals_pyts_on_random_walks(pyts_image, samples, size):
    check_gasf(pyts_image, walks(12, samples), size)


@pytest.mark.parametrize("size", SIZES)
def test_gadf_equals_pyts_on_random_walks(pyts_image, size):
    check_gadf(pyts_image, walks(12, 700), size)


@pytest.mark.parametrize("threshold", [None, 0.5, 2.0])
@pytest.mark.parametrize(("dimension", "delay"), [(1, 1), (2, 1), (3, 4), (5, 2)])
def test_trajectories_recur_as_in_pyts(pyts_image, dimension, delay, threshold):
    series = walks(4, 96)
    expected = pyts_image.RecurrencePlot(dimension, delay, threshold).fit_transform(
        series.astype(np.float64)
    )
    found = recurrence(series, dimension, delay, threshold)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("samples", [128, 700, 1000])
def test_recurrence_equals_pyts_on_random_walks(pyts_image, samples, size):
    check_recurrence(pyts_image, walks(12, samples), size)


@pytest.mark.parametrize("size", SIZES)
def test_mtf_equals_pyts_on_random_walks(pyts_image, size):
    check_mtf(pyts_image, walks(2, 700), size)


@pytest.mark.parametrize("size", SIZES)
def test_gasf_equals_pyts_on_real_ecgs(pyts_image, real, size):
    check_gasf(pyts_image, real, size)


@pytest.mark.parametrize("size", SIZES)
def test_recurrence_equals_pyts_on_real_ecgs(pyts_image, real, size):
    check_recurrence(pyts_image, real, size)


@pytest.mark.parametrize("size", SIZES)
def test_mtf_equals_pyts_on_real_ecgs(pyts_image, real, size):
    check_mtf(pyts_image, real[:2], size)


@pytest.mark.parametrize("size", SIZES)
def test_mtf_equals_pyts_on_a_series_of_few_levels(pyts_image, size):
    check_mtf(pyts_image, np.round(walks(2, 256)), size)


def test_a_sample_on_an_edge_belongs_to_the_bin_below():
    assert quantile_bins(np.array([[0, 1, 2, 3, 4]], np.float32), 4).tolist() == [[0, 0, 1, 2, 3]]


def test_mtf_equals_its_definition_without_the_shortcut():
    series = walks(1, 96)[0]
    labels = quantile_bins(series[None], BINS)[0]
    counts = np.zeros((BINS, BINS))
    for before, after in pairwise(labels):
        counts[before, after] += 1
    transitions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    field = transitions[labels[:, None], labels[None, :]]  # (96, 96)
    blocks = field.reshape(16, 6, 16, 6).mean(axis=(1, 3))
    np.testing.assert_allclose(markov_transition_field(series, 16, BINS), blocks, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "encode",
    [
        lambda series, size: gasf(rescale(paa(series, size))),
        lambda series, size: gadf(rescale(paa(series, size))),
        lambda series, size: recurrence(paa(series, size)),
        lambda series, size: markov_transition_field(series, size, BINS),
    ],
    ids=["gasf", "gadf", "recurrence", "mtf"],
)
def test_a_batch_gives_what_each_series_gives_alone(encode, size):
    series = walks(6, 500).reshape(2, 3, 500)
    alone = [[encode(one, size) for one in row] for row in series]
    np.testing.assert_allclose(encode(series, size), np.array(alone), rtol=0, atol=1e-6)


def test_a_constant_series_is_rescaled_to_zero():
    assert not rescale(np.full(64, 0.7, dtype=np.float32)).any()


def test_a_constant_series_has_an_even_gasf():
    # x~ = 0 is an angle of 90 degrees, and the cosine of twice that is -1
    np.testing.assert_array_equal(gasf(rescale(np.full(64, 0.7, dtype=np.float32))), -1.0)


def test_a_constant_series_recurs_everywhere():
    assert not recurrence(np.full(64, 0.7, dtype=np.float32)).any()


def test_a_constant_series_stays_in_its_only_bin():
    field = markov_transition_field(np.full(128, 0.7, dtype=np.float32), 64, BINS)
    np.testing.assert_allclose(field, 1.0)


def test_rescaling_uses_the_whole_range():
    scaled = rescale(walks(3, 200))
    np.testing.assert_allclose(scaled.min(axis=1), -1.0, atol=1e-6)
    np.testing.assert_allclose(scaled.max(axis=1), 1.0, atol=1e-6)


@given(samples=st.integers(1, 3000), size=st.integers(1, 256))
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_segments_cover_every_sample_once_and_differ_by_at_most_one(samples, size):
    if size > samples:
        with pytest.raises(ValueError, match="segments"):
            segment_bounds(samples, size)
        return
    lengths = np.diff(segment_bounds(samples, size))
    assert lengths.sum() == samples
    assert lengths.max() - lengths.min() <= 1


def test_paa_of_as_many_segments_as_samples_is_the_series():
    series = walks(2, 64)
    np.testing.assert_array_equal(paa(series, 64), series)


def test_paa_keeps_float32():
    assert paa(walks(2, 100), 64).dtype == np.float32
