"""Traces: ECGs small enough to be kept with their case and sent with an answer."""

from cardex.api.pb.v1 import case_pb2
from cardex.domain.trace import Trace


def trace_message(trace: Trace) -> case_pb2.Trace:
    """Translate a trace."""
    return case_pb2.Trace(
        rate_hz=trace.rate,
        resolution_mv=trace.resolution,
        samples=trace.samples,
        packed=trace.packed,
        r_peaks=trace.r_peaks,
        start_s=trace.start,
    )


def trace_of(message: case_pb2.Trace) -> Trace:
    """Translate a message, unchecked."""
    return Trace(
        rate=message.rate_hz,
        resolution=message.resolution_mv,
        samples=message.samples,
        packed=message.packed,
        r_peaks=tuple(message.r_peaks),
        start=message.start_s,
    )
