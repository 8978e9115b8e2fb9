"""The rate that printed times tell, over rates, lengths, digits, units and offsets."""

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from cardex.domain.errors import InvalidEcg
from cardex.signals.formats.csv_times import COARSEST, rate_of

EPOCH = 1_700_000_000
UNITS = {"s": 1.0, "ms": 1e-3}
CASES = {
    "rate": st.integers(50, 1000),
    "seconds": st.floats(2.0, 60.0),
    "digits": st.integers(2, 6),
    "unit": st.sampled_from(sorted(UNITS)),
    "start": st.sampled_from((0, EPOCH)),
}
PROPERTY = settings(max_examples=300, deadline=None, derandomize=True, database=None)


def printed(rate: float, seconds: float, digits: int, unit: str = "s", start: float = 0.0):
    """Times as a file has them: the floats next to a decimal number of some digits."""
    rows = np.arange(round(rate * seconds))
    return np.rint((start + rows / rate) / UNITS[unit] * 10.0**digits) / 10.0**digits


@pytest.mark.parametrize("digits", [2, 3, 6])
def test_printed_times_are_those_that_are_parsed_from_print(digits):
    times = printed(360.0, 60.0, digits, start=EPOCH)
    np.testing.assert_array_equal(times, [float(f"{time:.{digits}f}") for time in times])


def place_of(digits: int, unit: str) -> float:
    return UNITS[unit] * 10.0**-digits


def refusal(times, unit: str = "s", stated: float | None = None) -> str:
    with pytest.raises(InvalidEcg) as caught:
        rate_of(times, UNITS[unit], stated)
    assert caught.value.reason == "SAMPLING_RATE"
    return caught.value.message


@given(**CASES)
@example(rate=100, seconds=10.0, digits=3, unit="s", start=0)
@example(rate=1000, seconds=10.0, digits=3, unit="s", start=0)
@example(rate=500, seconds=10.0, digits=3, unit="s", start=EPOCH)
@example(rate=200, seconds=7.7, digits=6, unit="s", start=0)
@PROPERTY
def test_times_of_whole_rates_are_read_or_too_coarse(rate, seconds, digits, unit, start):
    times, place = printed(rate, seconds, digits, unit, start), place_of(digits, unit)
    kept = abs(1 / rate / place - round(1 / rate / place)) < 1e-9  # nothing was rounded off
    skips = len(times) * abs(1 / rate - place) / place
    if kept or (place < 0.99 * COARSEST * (len(times) - 1) / rate and skips > 3.01):
        assert rate_of(times, UNITS[unit], None) == rate
        return
    try:
        assert rate_of(times, UNITS[unit], None) == rate
    except InvalidEcg as error:
        assert "too few digits" in error.message
        assert "# rate_hz" in error.message
    assert rate_of(times, UNITS[unit], float(rate)) == rate


@given(**CASES | {"rate": st.floats(50.0, 1000.0)})
@PROPERTY
def test_times_of_other_rates_are_read_where_a_step_has_digits_enough(
    rate, seconds, digits, unit, start
):
    times, place = printed(rate, seconds, digits, unit, start), place_of(digits, unit)
    assume(place < 0.7 / rate and place < 0.99 * COARSEST * (len(times) - 1) / rate)
    assert rate_of(times, UNITS[unit], None) == pytest.approx(rate, rel=1e-4)


@given(at=st.floats(0.02, 0.98), **CASES)
@example(rate=100, seconds=60.0, digits=3, unit="s", start=0, at=0.5)
@example(rate=1000, seconds=10.0, digits=3, unit="s", start=0, at=0.1)
@example(rate=1000, seconds=2.0, digits=3, unit="s", start=0, at=0.5)
@PROPERTY
def test_a_missing_row_is_refused(rate, seconds, digits, unit, start, at):
    times, place = printed(rate, seconds, digits, unit, start), place_of(digits, unit)
    assume(place <= 1.01 / rate)
    missing = np.delete(times, int(at * len(times)))
    refusal(missing, unit)
    refusal(missing, unit, float(rate))


@pytest.mark.parametrize("rate", [100.0, 250.0, 360.0, 500.0])
@pytest.mark.parametrize("share", [0.03, 0.3])
def test_times_that_jitter_are_refused(rate, share):
    times = printed(rate, 10.0, 6)
    times += np.random.default_rng(0).uniform(-share, share, len(times)) / rate
    refusal(np.round(times, 6))


def test_times_of_six_significant_digits_are_read():
    times = np.array([float(f"{n / 360:.6g}") for n in range(360 * 60)])
    assert rate_of(times, 1.0, None) == 360.0


def test_times_that_were_cut_off_are_read():
    times = np.floor(np.arange(3600) / 360 * 1000) / 1000
    assert rate_of(times, 1.0, None) == 360.0


def test_a_stated_rate_stands_where_the_times_are_near_it():
    steps = np.round(np.arange(3600) * 0.0028, 4)  # 357.1 Hz
    assert rate_of(steps, 1.0, None) == pytest.approx(1 / 0.0028)
    assert rate_of(steps, 1.0, 360.0) == 360.0
    assert "357" in refusal(steps, stated=500.0)


@pytest.mark.parametrize(
    "times",
    [[0.0], [0.0, 0.0], [1.0, 0.0], [0.0, np.nan], [0.0, np.inf], [0.0, 1e308], [-1e308, 1e308],
     [0.0, 1e-300], [0.0, 0.1, 5.0, 0.2]],
)  # fmt: skip
def test_times_that_are_no_axis_are_refused(times):
    try:
        rate = rate_of(np.array(times), 1.0, None)
    except InvalidEcg as error:
        assert error.reason == "SAMPLING_RATE"
    else:
        assert times == [0.0, 1e308]
        assert rate < 1e-300
