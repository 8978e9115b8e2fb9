import datetime

from cardex.api.pb.v1 import report_pb2 as _report_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UpsertMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UPSERT_MODE_UNSPECIFIED: _ClassVar[UpsertMode]
    UPSERT_MODE_MERGE: _ClassVar[UpsertMode]
    UPSERT_MODE_REBUILD: _ClassVar[UpsertMode]
UPSERT_MODE_UNSPECIFIED: UpsertMode
UPSERT_MODE_MERGE: UpsertMode
UPSERT_MODE_REBUILD: UpsertMode

class UpsertReportsRequest(_message.Message):
    __slots__ = ("mode", "reports")
    MODE_FIELD_NUMBER: _ClassVar[int]
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    mode: UpsertMode
    reports: _containers.RepeatedCompositeFieldContainer[_report_pb2.Report]
    def __init__(self, mode: _Optional[_Union[UpsertMode, str]] = ..., reports: _Optional[_Iterable[_Union[_report_pb2.Report, _Mapping]]] = ...) -> None: ...

class UpsertReportsResponse(_message.Message):
    __slots__ = ("stored", "committed", "index")
    STORED_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    stored: int
    committed: bool
    index: IndexInfo
    def __init__(self, stored: _Optional[int] = ..., committed: _Optional[bool] = ..., index: _Optional[_Union[IndexInfo, _Mapping]] = ...) -> None: ...

class DeleteReportsRequest(_message.Message):
    __slots__ = ("report_ids",)
    REPORT_IDS_FIELD_NUMBER: _ClassVar[int]
    report_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, report_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class DeleteReportsResponse(_message.Message):
    __slots__ = ("deleted", "index")
    DELETED_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    deleted: int
    index: IndexInfo
    def __init__(self, deleted: _Optional[int] = ..., index: _Optional[_Union[IndexInfo, _Mapping]] = ...) -> None: ...

class BeginRebuildRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BeginRebuildResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: IndexInfo
    def __init__(self, index: _Optional[_Union[IndexInfo, _Mapping]] = ...) -> None: ...

class CommitRebuildRequest(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: str
    def __init__(self, index: _Optional[str] = ...) -> None: ...

class CommitRebuildResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: IndexInfo
    def __init__(self, index: _Optional[_Union[IndexInfo, _Mapping]] = ...) -> None: ...

class DeleteCasesRequest(_message.Message):
    __slots__ = ("case_ids",)
    CASE_IDS_FIELD_NUMBER: _ClassVar[int]
    case_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, case_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class DeleteCasesResponse(_message.Message):
    __slots__ = ("deleted", "index")
    DELETED_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    deleted: int
    index: IndexInfo
    def __init__(self, deleted: _Optional[int] = ..., index: _Optional[_Union[IndexInfo, _Mapping]] = ...) -> None: ...

class MigrateIndexRequest(_message.Message):
    __slots__ = ("model_version", "shadow")
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    model_version: str
    shadow: bool
    def __init__(self, model_version: _Optional[str] = ..., shadow: _Optional[bool] = ...) -> None: ...

class MigrateIndexResponse(_message.Message):
    __slots__ = ("stored", "total", "committed", "index")
    STORED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    stored: int
    total: int
    committed: bool
    index: IndexInfo
    def __init__(self, stored: _Optional[int] = ..., total: _Optional[int] = ..., committed: _Optional[bool] = ..., index: _Optional[_Union[IndexInfo, _Mapping]] = ...) -> None: ...

class GetIndexRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetIndexResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: IndexInfo
    def __init__(self, index: _Optional[_Union[IndexInfo, _Mapping]] = ...) -> None: ...

class IndexInfo(_message.Message):
    __slots__ = ("name", "generation", "model_version", "report_count", "create_time", "case_count")
    NAME_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    REPORT_COUNT_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    CASE_COUNT_FIELD_NUMBER: _ClassVar[int]
    name: str
    generation: str
    model_version: str
    report_count: int
    create_time: _timestamp_pb2.Timestamp
    case_count: int
    def __init__(self, name: _Optional[str] = ..., generation: _Optional[str] = ..., model_version: _Optional[str] = ..., report_count: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., case_count: _Optional[int] = ...) -> None: ...
