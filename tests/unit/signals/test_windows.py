import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardex.signals.windows import best_window, centre_window
from tests.helpers.ecgs import ecg

RATE = 100.0


def long_ecg(seconds: float = 60.0) -> np.ndarray:
    return ecg(rate=RATE, seconds=seconds)


def place(signal: np.ndarray, window: np.ndarray) -> int:
    """Where in the record a window was cut."""
    hits = [
        start
        for start in range(signal.shape[1] - window.shape[1] + 1)
        if np.array_equal(signal[:, start : start + window.shape[1]], window)
    ]
    (only,) = hits
    return only


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (6, [0, 1, 2, 3, 4, 5]),
        (4, [1, 2, 3, 4]),
        (3, [1, 2, 3]),
        (8, [0, 0, 1, 2, 3, 4, 5, 0]),
        (9, [0, 0, 1, 2, 3, 4, 5, 0, 0]),
    ],
)
def test_a_window_is_cut_from_the_middle_or_padded_on_both_sides(length, expected):
    signal = np.arange(6, dtype=np.float32)[None]
    assert centre_window(signal, length)[0].tolist() == expected


@given(samples=st.integers(1, 500), wanted=st.integers(1, 500))
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_a_window_has_the_wanted_length(samples, wanted):
    assert centre_window(np.ones((12, samples), dtype=np.float32), wanted).shape == (12, wanted)


def test_a_record_as_long_as_the_window_is_taken_whole():
    signal = long_ecg(10.0)
    np.testing.assert_array_equal(best_window(signal, 1000, RATE), signal)


def test_a_shorter_record_is_padded_with_nothing_but_zeros():
    signal = long_ecg(6.0)
    window = best_window(signal, 1000, RATE)
    np.testing.assert_array_equal(window[:, 200:800], signal)
    assert not window[:, :200].any() and not window[:, 800:].any()


def test_of_a_record_that_is_good_all_along_the_middle_is_taken():
    signal = long_ecg()
    assert place(signal, best_window(signal, 1000, RATE)) == 2500


@pytest.mark.parametrize("spoilt", ["artefact", "dropout", "noise"])
@pytest.mark.parametrize(("good_from", "good_to"), [(0, 12), (24, 36), (48, 60)])
def test_the_one_good_stretch_of_a_long_record_is_found(spoilt, good_from, good_to):
    signal = long_ecg()
    bad = np.ones(signal.shape[1], dtype=bool)
    bad[good_from * 100 : good_to * 100] = False
    # one lead in three is spoilt in every other second, so that the usual value stays the good one
    bad &= (np.arange(bad.size) // 200) % 3 == 0
    random = np.random.default_rng(0)
    if spoilt == "artefact":
        signal[::3, bad] += 30.0 * np.sin(np.arange(bad.sum()) / 40.0)
    elif spoilt == "dropout":
        signal[::3, bad] = 0.0
    else:
        signal[::3, bad] += random.normal(0, 0.5, (4, bad.sum()))
    start = place(signal, best_window(signal, 1000, RATE))
    assert not bad[start : start + 1000].any()


def test_premature_beats_do_not_drive_the_window_away():
    signal = long_ecg()
    wide = np.exp(-0.5 * ((np.arange(6000) - 3000) / 8.0) ** 2)
    signal += (2.5 * np.ptp(signal, axis=1, keepdims=True) * wide).astype(np.float32)
    assert place(signal, best_window(signal, 1000, RATE)) == 2500


def test_a_window_may_lie_wholly_in_the_longer_last_block():
    signal = ecg(rate=RATE, seconds=15.9)
    signal[:, 1200:] *= 20.0
    assert place(signal, best_window(signal, 100, RATE)) < 1200


@given(samples=st.integers(1, 3000), wanted=st.integers(1, 1200))
@settings(max_examples=80, deadline=None, derandomize=True, database=None)
def test_the_best_window_always_has_the_wanted_length(samples, wanted):
    random = np.random.default_rng(samples)
    signal = random.normal(size=(12, samples)).astype(np.float32)
    assert best_window(signal, wanted, RATE).shape == (12, wanted)
