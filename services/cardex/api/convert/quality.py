"""How far a signal can be trusted."""

from cardex.api.pb.v1 import job_pb2
from cardex.domain.quality import SignalQuality


def quality_message(quality: SignalQuality) -> job_pb2.SignalQuality:
    """Translate what was measured on the signal as a whole."""
    return job_pb2.SignalQuality(index=quality.index, heart_rate_bpm=quality.heart_rate_bpm)


def warning_messages(quality: SignalQuality) -> list[job_pb2.SignalWarning]:
    """Translate the doubts about the signal."""
    return [
        job_pb2.SignalWarning(code=warning.code, leads=warning.leads, message=warning.message)
        for warning in quality.warnings
    ]
