import datetime

from cardex.api.pb.v1 import case_pb2 as _case_pb2
from cardex.api.pb.v1 import report_pb2 as _report_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_UNSPECIFIED: _ClassVar[Priority]
    PRIORITY_ROUTINE: _ClassVar[Priority]
    PRIORITY_STAT: _ClassVar[Priority]

class JobState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_STATE_UNSPECIFIED: _ClassVar[JobState]
    JOB_STATE_QUEUED: _ClassVar[JobState]
    JOB_STATE_RUNNING: _ClassVar[JobState]
    JOB_STATE_SUCCEEDED: _ClassVar[JobState]
    JOB_STATE_FAILED: _ClassVar[JobState]
    JOB_STATE_CANCELLED: _ClassVar[JobState]
PRIORITY_UNSPECIFIED: Priority
PRIORITY_ROUTINE: Priority
PRIORITY_STAT: Priority
JOB_STATE_UNSPECIFIED: JobState
JOB_STATE_QUEUED: JobState
JOB_STATE_RUNNING: JobState
JOB_STATE_SUCCEEDED: JobState
JOB_STATE_FAILED: JobState
JOB_STATE_CANCELLED: JobState

class Job(_message.Message):
    __slots__ = ("job_id", "state", "priority", "attempts", "submit_time", "update_time", "answer", "error")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    SUBMIT_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    state: JobState
    priority: Priority
    attempts: int
    submit_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    answer: Answer
    error: JobError
    def __init__(self, job_id: _Optional[str] = ..., state: _Optional[_Union[JobState, str]] = ..., priority: _Optional[_Union[Priority, str]] = ..., attempts: _Optional[int] = ..., submit_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., answer: _Optional[_Union[Answer, _Mapping]] = ..., error: _Optional[_Union[JobError, _Mapping]] = ...) -> None: ...

class JobError(_message.Message):
    __slots__ = ("reason", "message", "field", "code", "http_status", "kind")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    HTTP_STATUS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    field: str
    code: int
    http_status: int
    kind: str
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., field: _Optional[str] = ..., code: _Optional[int] = ..., http_status: _Optional[int] = ..., kind: _Optional[str] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("disclaimer", "hits", "findings", "warnings", "model_version", "index_name", "index_generation", "stages", "from_cache", "signal_quality", "predictions", "draft", "by", "trace", "case_id", "filter")
    DISCLAIMER_FIELD_NUMBER: _ClassVar[int]
    HITS_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    INDEX_NAME_FIELD_NUMBER: _ClassVar[int]
    INDEX_GENERATION_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    FROM_CACHE_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_QUALITY_FIELD_NUMBER: _ClassVar[int]
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    DRAFT_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    disclaimer: str
    hits: _containers.RepeatedCompositeFieldContainer[_report_pb2.Hit]
    findings: _containers.RepeatedCompositeFieldContainer[_report_pb2.Finding]
    warnings: _containers.RepeatedCompositeFieldContainer[SignalWarning]
    model_version: str
    index_name: str
    index_generation: str
    stages: _containers.RepeatedCompositeFieldContainer[StageTime]
    from_cache: bool
    signal_quality: SignalQuality
    predictions: _containers.RepeatedCompositeFieldContainer[_report_pb2.Prediction]
    draft: _report_pb2.Draft
    by: _case_pb2.Nearness
    trace: _case_pb2.Trace
    case_id: str
    filter: _case_pb2.CaseFilter
    def __init__(self, disclaimer: _Optional[str] = ..., hits: _Optional[_Iterable[_Union[_report_pb2.Hit, _Mapping]]] = ..., findings: _Optional[_Iterable[_Union[_report_pb2.Finding, _Mapping]]] = ..., warnings: _Optional[_Iterable[_Union[SignalWarning, _Mapping]]] = ..., model_version: _Optional[str] = ..., index_name: _Optional[str] = ..., index_generation: _Optional[str] = ..., stages: _Optional[_Iterable[_Union[StageTime, _Mapping]]] = ..., from_cache: _Optional[bool] = ..., signal_quality: _Optional[_Union[SignalQuality, _Mapping]] = ..., predictions: _Optional[_Iterable[_Union[_report_pb2.Prediction, _Mapping]]] = ..., draft: _Optional[_Union[_report_pb2.Draft, _Mapping]] = ..., by: _Optional[_Union[_case_pb2.Nearness, str]] = ..., trace: _Optional[_Union[_case_pb2.Trace, _Mapping]] = ..., case_id: _Optional[str] = ..., filter: _Optional[_Union[_case_pb2.CaseFilter, _Mapping]] = ...) -> None: ...

class SignalQuality(_message.Message):
    __slots__ = ("index", "heart_rate_bpm")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    HEART_RATE_BPM_FIELD_NUMBER: _ClassVar[int]
    index: float
    heart_rate_bpm: float
    def __init__(self, index: _Optional[float] = ..., heart_rate_bpm: _Optional[float] = ...) -> None: ...

class SignalWarning(_message.Message):
    __slots__ = ("code", "leads", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    LEADS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    leads: _containers.RepeatedScalarFieldContainer[str]
    message: str
    def __init__(self, code: _Optional[str] = ..., leads: _Optional[_Iterable[str]] = ..., message: _Optional[str] = ...) -> None: ...

class StageTime(_message.Message):
    __slots__ = ("stage", "duration")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    stage: str
    duration: _duration_pb2.Duration
    def __init__(self, stage: _Optional[str] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
