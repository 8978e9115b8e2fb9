"""The times of a table: its sampling rate, and whether its rows are evenly spaced."""

import numpy as np
from numpy.typing import NDArray

from cardex.domain.errors import InvalidEcg
from cardex.signals.formats.limits import FILE

SMALL_SHARE = 0.01
"""Share of a step by which a time may be off, however many digits are printed."""
COARSEST = 1e-3
"""Relative error of the rate from which on the times are refused as too coarse."""
AGREEING = 0.01
"""Relative difference up to which the rate in a comment is taken instead of the times."""

_MOST_DIGITS = 9
# If the rate is no whole number, it is the slope of a straight line through the times. Such a line
# hides a missing row if the last printed digit is about as long as a step, and it fits rounded
# times a little worse than the true rate does.
_FREE_PLACE = 0.75
_FREE_MISFIT = 1.2
_SKIPS = 3
_ROUNDING = 4 * np.finfo(np.float64).eps


def rate_of(times: NDArray[np.float64], seconds_per: float, stated: float | None) -> float:
    """Return the rate of evenly spaced times, Hz.

    Args:
        times: (rows,) float64, as they are printed.
        seconds_per: length of their unit, s.
        stated: the rate in a comment, Hz, or None; it is returned if the times agree with it.

    Raises:
        InvalidEcg: if the times are uneven, too coarse to tell the rate, or contradict `stated`.
    """
    if len(times) < 2 or not np.isfinite(times).all():
        raise _uneven()
    with np.errstate(all="ignore"):
        # The last times may have the fewest decimals, if a writer prints as many digits of each.
        place = _printed_place(times[-max(64, len(times) // 8) :]) * seconds_per
        seconds = (times - times[0]) * seconds_per
        noise = _ROUNDING * float(np.abs(times).max()) * seconds_per
        estimate = _slope(seconds)
    if not (np.isfinite(estimate) and 0.0 < estimate < 1e9):
        raise _uneven()
    span = float(seconds[-1])
    slack = place / span if span > 0.0 else np.inf
    if stated is not None and not abs(estimate - stated) <= AGREEING * stated + slack * estimate:
        raise InvalidEcg(
            f"the comment says {stated:g} Hz and the times say {estimate:g} Hz",
            reason="SAMPLING_RATE",
            field=FILE,
        )
    rate = _fitting(seconds, (stated, float(round(estimate)), estimate), place, noise)
    if rate == stated:
        return rate
    exact = _misfit(seconds, rate) <= SMALL_SHARE / rate + noise
    # If times skip a printed value now and then, rounding looks the same as a few missing rows.
    skipping = len(times) * abs(1.0 / rate - place) < _SKIPS * place
    if not exact and (slack >= COARSEST or skipping):
        raise _coarse()
    return rate if stated is None else stated


def _fitting(
    seconds: NDArray[np.float64], rates: tuple[float | None, ...], place: float, noise: float
) -> float:
    """Return the first of the rates that fits the times within the precision of their digits."""
    for rate in rates:
        if not rate or rate < 0.0:
            continue
        if rate == rates[-1]:
            rounded = _FREE_MISFIT * 0.5 * place if place <= _FREE_PLACE / rate else 0.0
        else:
            # If a step is a whole number of the last printed digit, nothing was rounded.
            rounded = 0.0 if _whole(1.0 / rate, place) else 0.5 * place
        if _misfit(seconds, rate) <= max(SMALL_SHARE / rate, rounded) + noise:
            return rate
    raise _uneven()


def _whole(step: float, place: float) -> bool:
    ratio = step / place
    return round(ratio) > 0 and abs(ratio - round(ratio)) < 1e-6


def _misfit(seconds: NDArray[np.float64], rate: float) -> float:
    """Return the largest error of evenly spaced times of a rate, at their best offset, s."""
    apart = seconds - np.arange(len(seconds)) / rate
    return 0.5 * float(apart.max() - apart.min())


def _slope(seconds: NDArray[np.float64]) -> float:
    """Return the rows per second, by least squares."""
    rows = np.arange(len(seconds)) - 0.5 * (len(seconds) - 1)
    moment = float(rows @ seconds)
    return float(rows @ rows) / moment if moment > 0.0 else np.nan


def _printed_place(times: NDArray[np.float64]) -> float:
    """Return the value of the last printed digit of the times, a power of ten."""
    for digits in range(_MOST_DIGITS):
        scaled = times * 10.0**digits
        if np.abs(scaled - np.round(scaled)).max() <= 1e-4 + _ROUNDING * np.abs(scaled).max():
            return float(10.0**-digits)
    return float(10.0**-_MOST_DIGITS)


def _uneven() -> InvalidEcg:
    return InvalidEcg(
        "the times of the rows are not evenly spaced, or printed with too few digits: resample the"
        " leads to one rate",
        reason="SAMPLING_RATE",
        field=FILE,
    )


def _coarse() -> InvalidEcg:
    return InvalidEcg(
        "the times of the rows are printed with too few digits to tell the sampling rate: print"
        ' more of them, or add a first line such as "# rate_hz: 500"',
        reason="SAMPLING_RATE",
        field=FILE,
    )
