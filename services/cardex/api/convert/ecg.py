"""The ECG message as the payload that the claim check stores."""

import numpy as np
from google.protobuf.message import DecodeError

from cardex.api.pb.internal.v1 import payload_pb2
from cardex.api.pb.v1 import ecg_pb2
from cardex.domain.ecg import EcgInput, FilePart, TypedSamples
from cardex.domain.errors import InvalidEcg

_UNITS: dict[int, str] = {
    ecg_pb2.VOLTAGE_UNIT_MILLIVOLT: "mV",
    ecg_pb2.VOLTAGE_UNIT_MICROVOLT: "uV",
}


def to_payload(ecg: ecg_pb2.Ecg) -> bytes:
    """Return the bytes to store: the message without what does not change the ECG.

    The name of a single file is dropped, so that the same bytes are the same payload and no file
    name, which may tell a patient, is kept.

    Raises:
        InvalidEcg: if the message holds no ECG.
    """
    source = ecg.WhichOneof("source")
    if source is None:
        raise InvalidEcg("no ECG: set ecg.samples or ecg.file", reason="EMPTY_PAYLOAD", field="ecg")
    if source == "file":
        if not ecg.file.content:
            raise InvalidEcg("the file is empty", reason="EMPTY_PAYLOAD", field="ecg.file.content")
        if ecg.file.name and not ecg.file.companions:
            stripped = ecg_pb2.Ecg()
            stripped.file.content = ecg.file.content
            ecg = stripped
    return ecg.SerializeToString(deterministic=True)


def from_payload(payload: bytes) -> EcgInput:
    """Return the ECG behind a stored payload.

    Raises:
        InvalidEcg: if the bytes are no ECG message.
    """
    stored, ecg = payload_pb2.StoredEcg(), ecg_pb2.Ecg()
    try:
        stored.ParseFromString(payload)
        if stored.HasField("samples"):
            return _samples(stored.samples)
        ecg.ParseFromString(payload)
    except (DecodeError, ValueError) as error:
        raise InvalidEcg("the stored payload is damaged: submit the ECG again") from error
    parts = [FilePart(ecg.file.name, ecg.file.content)]
    parts += [FilePart(part.name, part.content) for part in ecg.file.companions]
    return tuple(parts)


def _samples(samples: payload_pb2.StoredSamples) -> TypedSamples:
    return TypedSamples(
        leads=tuple(lead.name for lead in samples.leads),
        values=tuple(np.frombuffer(lead.values, dtype="<f4") for lead in samples.leads),
        rate=samples.rate_hz,
        unit=_UNITS.get(samples.unit, "unspecified"),
    )
