from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StoredEcg(_message.Message):
    __slots__ = ("samples",)
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    samples: StoredSamples
    def __init__(self, samples: _Optional[_Union[StoredSamples, _Mapping]] = ...) -> None: ...

class StoredSamples(_message.Message):
    __slots__ = ("leads", "rate_hz", "unit")
    LEADS_FIELD_NUMBER: _ClassVar[int]
    RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    leads: _containers.RepeatedCompositeFieldContainer[StoredLead]
    rate_hz: float
    unit: int
    def __init__(self, leads: _Optional[_Iterable[_Union[StoredLead, _Mapping]]] = ..., rate_hz: _Optional[float] = ..., unit: _Optional[int] = ...) -> None: ...

class StoredLead(_message.Message):
    __slots__ = ("name", "values", "steps", "resolution")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    values: bytes
    steps: bytes
    resolution: float
    def __init__(self, name: _Optional[str] = ..., values: _Optional[bytes] = ..., steps: _Optional[bytes] = ..., resolution: _Optional[float] = ...) -> None: ...
