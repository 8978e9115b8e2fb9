"""An ECG small enough to be kept with its case and sent with an answer."""

from dataclasses import dataclass, field

TRACE_S = 10.0
"""Length of a trace in seconds; that of a shorter recording is shorter."""
TRACE_RATE_HZ = 250.0
"""Highest sampling rate of a trace: it holds the band up to 100 Hz, which clinicians look at."""
MAX_TRACE_BYTES = 16 * 1024
"""Most bytes of a packed trace."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Ten seconds of 12 leads, packed.

    Attributes:
        rate: samples a second of each lead, Hz.
        resolution: millivolts of one step.
        samples: number of samples of each lead.
        packed: what `signals.trace` makes of the steps, at most `MAX_TRACE_BYTES`.
        r_peaks: numbers of the samples at which R peaks were found.
        start: where the trace begins in the recording, in seconds.
    """

    rate: float
    resolution: float
    samples: int
    packed: bytes = field(repr=False)
    r_peaks: tuple[int, ...] = ()
    start: float = 0.0
