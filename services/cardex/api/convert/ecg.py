"""The ECG message as the payload that the claim check stores."""

import math

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from cardex.api.pb.internal.v1 import envelope_pb2, payload_pb2
from cardex.api.pb.v1 import ecg_pb2
from cardex.domain.ecg import EcgInput, FilePart, Signal, TypedSamples
from cardex.domain.errors import InvalidEcg

STEPS = "ecg.samples.leads.steps"
_UNITS: dict[int, str] = {
    ecg_pb2.VOLTAGE_UNIT_MILLIVOLT: "mV",
    ecg_pb2.VOLTAGE_UNIT_MICROVOLT: "uV",
}


def payload_of(ecg: bytes) -> bytes:
    """Return the bytes to store of a serialized Ecg message, whose samples are not parsed.

    The name of a single file is dropped, so that the same bytes are the same payload and no file
    name, which may tell a patient, is kept.

    Raises:
        InvalidEcg: if the message holds no ECG.
    """
    try:
        source = envelope_pb2.EcgSource.FromString(ecg)
    except DecodeError as error:
        raise InvalidEcg("the ECG is no cardex.v1.Ecg message", field="ecg") from error
    samples, file = source.HasField("samples"), source.HasField("file")
    if samples == file:
        both = "samples and a file: send one of the two"
        none = "no ECG: set ecg.samples or ecg.file"
        raise InvalidEcg(both if samples else none, reason="EMPTY_PAYLOAD", field="ecg")
    if samples:
        return ecg
    if not source.file.content:
        raise InvalidEcg("the file is empty", reason="EMPTY_PAYLOAD", field="ecg.file.content")
    if source.file.companions:
        return ecg
    content = envelope_pb2.FileSource(content=source.file.content)
    return envelope_pb2.EcgSource(file=content).SerializeToString()


def to_payload(ecg: ecg_pb2.Ecg) -> bytes:
    """Return the bytes to store of a message; raises as `payload_of`."""
    return payload_of(ecg.SerializeToString(deterministic=True))


def from_payload(payload: bytes) -> EcgInput:
    """Return the ECG behind a stored payload.

    Raises:
        InvalidEcg: if the bytes are no ECG message.
    """
    stored, ecg = payload_pb2.StoredEcg(), ecg_pb2.Ecg()
    try:
        stored.ParseFromString(payload)
        if stored.HasField("samples") and _is_whole(stored, payload):
            return _samples(stored.samples)
        ecg.ParseFromString(payload)
        if ecg.HasField("samples"):
            return _samples(_packed(ecg.samples))
    except (DecodeError, ValueError) as error:
        raise InvalidEcg("the stored payload is damaged: submit the ECG again") from error
    parts = [FilePart(ecg.file.name, ecg.file.content)]
    parts += [FilePart(part.name, part.content) for part in ecg.file.companions]
    return tuple(parts)


def _is_whole(stored: payload_pb2.StoredEcg, payload: bytes) -> bool:
    """Tell whether every lead came as one block: a client may also send its samples in pieces.

    Of several blocks only the last is read, and numbers that were sent one by one are fields that
    the message does not know: either way it is shorter than what was sent.
    """
    stored.DiscardUnknownFields()
    return stored.ByteSize() == len(payload)


def _packed(samples: ecg_pb2.Samples) -> payload_pb2.StoredSamples:
    leads = [
        payload_pb2.StoredLead(
            name=lead.name,
            values=np.array(lead.values, dtype="<f4").tobytes(),
            steps=lead.steps,
            resolution=lead.resolution,
        )
        for lead in samples.leads
    ]
    return payload_pb2.StoredSamples(leads=leads, rate_hz=samples.rate_hz, unit=samples.unit)


def _samples(samples: payload_pb2.StoredSamples) -> TypedSamples:
    return TypedSamples(
        leads=tuple(lead.name for lead in samples.leads),
        values=tuple(map(_values, samples.leads)),
        rate=samples.rate_hz,
        unit=_UNITS.get(samples.unit, "unspecified"),
    )


def _values(lead: payload_pb2.StoredLead) -> Signal:
    """Return a lead's samples, (samples,) float32 in the unit of the message."""
    if not lead.steps:
        return np.frombuffer(lead.values, dtype="<f4")
    if lead.values:
        raise InvalidEcg(
            "a lead has values and steps: send one of the two", reason="LEAD_SET", field=STEPS
        )
    if len(lead.steps) % 2:
        raise InvalidEcg(
            f"a lead's steps have {len(lead.steps)} bytes: each is an int16, so of two bytes",
            reason="TRUNCATED_ECG",
            field=STEPS,
        )
    return scaled(np.frombuffer(lead.steps, dtype="<i2"), lead.resolution)


def scaled(steps: NDArray[np.int16], resolution: float) -> Signal:
    """Return steps as float32, each multiplied in double precision and rounded once.

    Raises:
        InvalidEcg: if the resolution is no finite number above 0.
    """
    if not 0.0 < resolution < math.inf:
        raise InvalidEcg(
            f"a resolution of {resolution:g}: send what one step is in the unit of the message",
            reason="UNIT",
            field="ecg.samples.leads.resolution",
        )
    return (steps * resolution).astype(np.float32)
