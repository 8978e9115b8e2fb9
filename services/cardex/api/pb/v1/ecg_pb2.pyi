from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class VoltageUnit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VOLTAGE_UNIT_UNSPECIFIED: _ClassVar[VoltageUnit]
    VOLTAGE_UNIT_MILLIVOLT: _ClassVar[VoltageUnit]
    VOLTAGE_UNIT_MICROVOLT: _ClassVar[VoltageUnit]
VOLTAGE_UNIT_UNSPECIFIED: VoltageUnit
VOLTAGE_UNIT_MILLIVOLT: VoltageUnit
VOLTAGE_UNIT_MICROVOLT: VoltageUnit

class Ecg(_message.Message):
    __slots__ = ("samples", "file")
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    samples: Samples
    file: ClinicalFile
    def __init__(self, samples: _Optional[_Union[Samples, _Mapping]] = ..., file: _Optional[_Union[ClinicalFile, _Mapping]] = ...) -> None: ...

class Samples(_message.Message):
    __slots__ = ("leads", "rate_hz", "unit")
    LEADS_FIELD_NUMBER: _ClassVar[int]
    RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    leads: _containers.RepeatedCompositeFieldContainer[Lead]
    rate_hz: float
    unit: VoltageUnit
    def __init__(self, leads: _Optional[_Iterable[_Union[Lead, _Mapping]]] = ..., rate_hz: _Optional[float] = ..., unit: _Optional[_Union[VoltageUnit, str]] = ...) -> None: ...

class Lead(_message.Message):
    __slots__ = ("name", "values", "steps", "resolution")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    values: _containers.RepeatedScalarFieldContainer[float]
    steps: bytes
    resolution: float
    def __init__(self, name: _Optional[str] = ..., values: _Optional[_Iterable[float]] = ..., steps: _Optional[bytes] = ..., resolution: _Optional[float] = ...) -> None: ...

class ClinicalFile(_message.Message):
    __slots__ = ("content", "name", "companions")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    COMPANIONS_FIELD_NUMBER: _ClassVar[int]
    content: bytes
    name: str
    companions: _containers.RepeatedCompositeFieldContainer[CompanionFile]
    def __init__(self, content: _Optional[bytes] = ..., name: _Optional[str] = ..., companions: _Optional[_Iterable[_Union[CompanionFile, _Mapping]]] = ...) -> None: ...

class CompanionFile(_message.Message):
    __slots__ = ("name", "content")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    content: bytes
    def __init__(self, name: _Optional[str] = ..., content: _Optional[bytes] = ...) -> None: ...
