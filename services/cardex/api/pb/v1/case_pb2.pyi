from cardex.api.pb.v1 import report_pb2 as _report_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Nearness(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NEARNESS_UNSPECIFIED: _ClassVar[Nearness]
    NEARNESS_REPORT: _ClassVar[Nearness]
    NEARNESS_ECG: _ClassVar[Nearness]
    NEARNESS_BOTH: _ClassVar[Nearness]
NEARNESS_UNSPECIFIED: Nearness
NEARNESS_REPORT: Nearness
NEARNESS_ECG: Nearness
NEARNESS_BOTH: Nearness

class FileAs(_message.Message):
    __slots__ = ("case", "report", "index", "only")
    CASE_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ONLY_FIELD_NUMBER: _ClassVar[int]
    case: _report_pb2.Case
    report: str
    index: str
    only: bool
    def __init__(self, case: _Optional[_Union[_report_pb2.Case, _Mapping]] = ..., report: _Optional[str] = ..., index: _Optional[str] = ..., only: _Optional[bool] = ...) -> None: ...

class CaseFilter(_message.Message):
    __slots__ = ("min_age", "max_age", "sex", "with_codes", "without_codes", "languages", "devices", "from_month", "to_month")
    MIN_AGE_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_FIELD_NUMBER: _ClassVar[int]
    SEX_FIELD_NUMBER: _ClassVar[int]
    WITH_CODES_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_CODES_FIELD_NUMBER: _ClassVar[int]
    LANGUAGES_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    FROM_MONTH_FIELD_NUMBER: _ClassVar[int]
    TO_MONTH_FIELD_NUMBER: _ClassVar[int]
    min_age: int
    max_age: int
    sex: _report_pb2.Sex
    with_codes: _containers.RepeatedScalarFieldContainer[str]
    without_codes: _containers.RepeatedScalarFieldContainer[str]
    languages: _containers.RepeatedScalarFieldContainer[str]
    devices: _containers.RepeatedScalarFieldContainer[str]
    from_month: str
    to_month: str
    def __init__(self, min_age: _Optional[int] = ..., max_age: _Optional[int] = ..., sex: _Optional[_Union[_report_pb2.Sex, str]] = ..., with_codes: _Optional[_Iterable[str]] = ..., without_codes: _Optional[_Iterable[str]] = ..., languages: _Optional[_Iterable[str]] = ..., devices: _Optional[_Iterable[str]] = ..., from_month: _Optional[str] = ..., to_month: _Optional[str] = ...) -> None: ...

class Trace(_message.Message):
    __slots__ = ("rate_hz", "resolution_mv", "samples", "packed", "r_peaks", "start_s")
    RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_MV_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    PACKED_FIELD_NUMBER: _ClassVar[int]
    R_PEAKS_FIELD_NUMBER: _ClassVar[int]
    START_S_FIELD_NUMBER: _ClassVar[int]
    rate_hz: float
    resolution_mv: float
    samples: int
    packed: bytes
    r_peaks: _containers.RepeatedScalarFieldContainer[int]
    start_s: float
    def __init__(self, rate_hz: _Optional[float] = ..., resolution_mv: _Optional[float] = ..., samples: _Optional[int] = ..., packed: _Optional[bytes] = ..., r_peaks: _Optional[_Iterable[int]] = ..., start_s: _Optional[float] = ...) -> None: ...

class GetCaseRequest(_message.Message):
    __slots__ = ("case_id",)
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    case_id: str
    def __init__(self, case_id: _Optional[str] = ...) -> None: ...

class GetCaseResponse(_message.Message):
    __slots__ = ("case", "report", "trace", "disclaimer")
    CASE_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    DISCLAIMER_FIELD_NUMBER: _ClassVar[int]
    case: _report_pb2.Case
    report: _report_pb2.Report
    trace: Trace
    disclaimer: str
    def __init__(self, case: _Optional[_Union[_report_pb2.Case, _Mapping]] = ..., report: _Optional[_Union[_report_pb2.Report, _Mapping]] = ..., trace: _Optional[_Union[Trace, _Mapping]] = ..., disclaimer: _Optional[str] = ...) -> None: ...
