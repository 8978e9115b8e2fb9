from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EcgEnvelope(_message.Message):
    __slots__ = ("ecg", "question", "request_id", "priority")
    ECG_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ecg: bytes
    question: bytes
    request_id: str
    priority: int
    def __init__(self, ecg: _Optional[bytes] = ..., question: _Optional[bytes] = ..., request_id: _Optional[str] = ..., priority: _Optional[int] = ...) -> None: ...

class BatchEnvelope(_message.Message):
    __slots__ = ("item_id", "ecg", "question", "request_id", "priority", "any_order", "file_as")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    ECG_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ANY_ORDER_FIELD_NUMBER: _ClassVar[int]
    FILE_AS_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    ecg: bytes
    question: bytes
    request_id: str
    priority: int
    any_order: bool
    file_as: bytes
    def __init__(self, item_id: _Optional[str] = ..., ecg: _Optional[bytes] = ..., question: _Optional[bytes] = ..., request_id: _Optional[str] = ..., priority: _Optional[int] = ..., any_order: _Optional[bool] = ..., file_as: _Optional[bytes] = ...) -> None: ...

class EcgSource(_message.Message):
    __slots__ = ("samples", "file")
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    samples: bytes
    file: FileSource
    def __init__(self, samples: _Optional[bytes] = ..., file: _Optional[_Union[FileSource, _Mapping]] = ...) -> None: ...

class FileSource(_message.Message):
    __slots__ = ("content", "name", "companions")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    COMPANIONS_FIELD_NUMBER: _ClassVar[int]
    content: bytes
    name: str
    companions: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, content: _Optional[bytes] = ..., name: _Optional[str] = ..., companions: _Optional[_Iterable[bytes]] = ...) -> None: ...

class AnswerEnvelope(_message.Message):
    __slots__ = ("answer", "job_id")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    answer: bytes
    job_id: str
    def __init__(self, answer: _Optional[bytes] = ..., job_id: _Optional[str] = ...) -> None: ...

class JobEnvelope(_message.Message):
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
    state: int
    priority: int
    attempts: int
    submit_time: bytes
    update_time: bytes
    answer: bytes
    error: bytes
    def __init__(self, job_id: _Optional[str] = ..., state: _Optional[int] = ..., priority: _Optional[int] = ..., attempts: _Optional[int] = ..., submit_time: _Optional[bytes] = ..., update_time: _Optional[bytes] = ..., answer: _Optional[bytes] = ..., error: _Optional[bytes] = ...) -> None: ...

class JobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: JobEnvelope
    def __init__(self, job: _Optional[_Union[JobEnvelope, _Mapping]] = ...) -> None: ...

class BatchResponse(_message.Message):
    __slots__ = ("item_id", "job", "error")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    job: JobEnvelope
    error: bytes
    def __init__(self, item_id: _Optional[str] = ..., job: _Optional[_Union[JobEnvelope, _Mapping]] = ..., error: _Optional[bytes] = ...) -> None: ...

class WatchResponse(_message.Message):
    __slots__ = ("job", "cursor", "jobs")
    JOB_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    job: JobEnvelope
    cursor: str
    jobs: _containers.RepeatedCompositeFieldContainer[JobEnvelope]
    def __init__(self, job: _Optional[_Union[JobEnvelope, _Mapping]] = ..., cursor: _Optional[str] = ..., jobs: _Optional[_Iterable[_Union[JobEnvelope, _Mapping]]] = ...) -> None: ...
