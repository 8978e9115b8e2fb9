from cardex.api.pb.v1 import case_pb2 as _case_pb2
from cardex.api.pb.v1 import ecg_pb2 as _ecg_pb2
from cardex.api.pb.v1 import job_pb2 as _job_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Question(_message.Message):
    __slots__ = ("top_k", "rerank", "by", "filter", "trace")
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    RERANK_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    top_k: int
    rerank: int
    by: _case_pb2.Nearness
    filter: _case_pb2.CaseFilter
    trace: bool
    def __init__(self, top_k: _Optional[int] = ..., rerank: _Optional[int] = ..., by: _Optional[_Union[_case_pb2.Nearness, str]] = ..., filter: _Optional[_Union[_case_pb2.CaseFilter, _Mapping]] = ..., trace: _Optional[bool] = ...) -> None: ...

class RetrieveRequest(_message.Message):
    __slots__ = ("ecg", "question", "request_id", "priority")
    ECG_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ecg: _ecg_pb2.Ecg
    question: Question
    request_id: str
    priority: _job_pb2.Priority
    def __init__(self, ecg: _Optional[_Union[_ecg_pb2.Ecg, _Mapping]] = ..., question: _Optional[_Union[Question, _Mapping]] = ..., request_id: _Optional[str] = ..., priority: _Optional[_Union[_job_pb2.Priority, str]] = ...) -> None: ...

class RetrieveResponse(_message.Message):
    __slots__ = ("answer", "job_id")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    answer: _job_pb2.Answer
    job_id: str
    def __init__(self, answer: _Optional[_Union[_job_pb2.Answer, _Mapping]] = ..., job_id: _Optional[str] = ...) -> None: ...

class SubmitEcgRequest(_message.Message):
    __slots__ = ("ecg", "question", "request_id", "priority")
    ECG_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ecg: _ecg_pb2.Ecg
    question: Question
    request_id: str
    priority: _job_pb2.Priority
    def __init__(self, ecg: _Optional[_Union[_ecg_pb2.Ecg, _Mapping]] = ..., question: _Optional[_Union[Question, _Mapping]] = ..., request_id: _Optional[str] = ..., priority: _Optional[_Union[_job_pb2.Priority, str]] = ...) -> None: ...

class SubmitEcgResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: _job_pb2.Job
    def __init__(self, job: _Optional[_Union[_job_pb2.Job, _Mapping]] = ...) -> None: ...

class SubmitBatchRequest(_message.Message):
    __slots__ = ("item_id", "ecg", "question", "request_id", "priority", "any_order", "file_as")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    ECG_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ANY_ORDER_FIELD_NUMBER: _ClassVar[int]
    FILE_AS_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    ecg: _ecg_pb2.Ecg
    question: Question
    request_id: str
    priority: _job_pb2.Priority
    any_order: bool
    file_as: _case_pb2.FileAs
    def __init__(self, item_id: _Optional[str] = ..., ecg: _Optional[_Union[_ecg_pb2.Ecg, _Mapping]] = ..., question: _Optional[_Union[Question, _Mapping]] = ..., request_id: _Optional[str] = ..., priority: _Optional[_Union[_job_pb2.Priority, str]] = ..., any_order: _Optional[bool] = ..., file_as: _Optional[_Union[_case_pb2.FileAs, _Mapping]] = ...) -> None: ...

class SubmitBatchResponse(_message.Message):
    __slots__ = ("item_id", "job", "error")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    job: _job_pb2.Job
    error: _job_pb2.JobError
    def __init__(self, item_id: _Optional[str] = ..., job: _Optional[_Union[_job_pb2.Job, _Mapping]] = ..., error: _Optional[_Union[_job_pb2.JobError, _Mapping]] = ...) -> None: ...

class GetJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class GetJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: _job_pb2.Job
    def __init__(self, job: _Optional[_Union[_job_pb2.Job, _Mapping]] = ...) -> None: ...

class WatchJobsRequest(_message.Message):
    __slots__ = ("job_ids", "cursor", "with_answers", "many")
    JOB_IDS_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    WITH_ANSWERS_FIELD_NUMBER: _ClassVar[int]
    MANY_FIELD_NUMBER: _ClassVar[int]
    job_ids: _containers.RepeatedScalarFieldContainer[str]
    cursor: str
    with_answers: bool
    many: bool
    def __init__(self, job_ids: _Optional[_Iterable[str]] = ..., cursor: _Optional[str] = ..., with_answers: _Optional[bool] = ..., many: _Optional[bool] = ...) -> None: ...

class WatchJobsResponse(_message.Message):
    __slots__ = ("job", "cursor", "jobs")
    JOB_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    job: _job_pb2.Job
    cursor: str
    jobs: _containers.RepeatedCompositeFieldContainer[_job_pb2.Job]
    def __init__(self, job: _Optional[_Union[_job_pb2.Job, _Mapping]] = ..., cursor: _Optional[str] = ..., jobs: _Optional[_Iterable[_Union[_job_pb2.Job, _Mapping]]] = ...) -> None: ...

class CancelJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class CancelJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: _job_pb2.Job
    def __init__(self, job: _Optional[_Union[_job_pb2.Job, _Mapping]] = ...) -> None: ...

class SearchReportsRequest(_message.Message):
    __slots__ = ("text", "top_k", "by", "filter")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    text: str
    top_k: int
    by: _case_pb2.Nearness
    filter: _case_pb2.CaseFilter
    def __init__(self, text: _Optional[str] = ..., top_k: _Optional[int] = ..., by: _Optional[_Union[_case_pb2.Nearness, str]] = ..., filter: _Optional[_Union[_case_pb2.CaseFilter, _Mapping]] = ...) -> None: ...

class SearchReportsResponse(_message.Message):
    __slots__ = ("answer",)
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    answer: _job_pb2.Answer
    def __init__(self, answer: _Optional[_Union[_job_pb2.Answer, _Mapping]] = ...) -> None: ...

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("version", "model_version", "image_spec", "index_name", "index_generation", "index_model_version", "queues", "limits", "disclaimer", "served_model_versions", "by", "image_spec_json")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGE_SPEC_FIELD_NUMBER: _ClassVar[int]
    INDEX_NAME_FIELD_NUMBER: _ClassVar[int]
    INDEX_GENERATION_FIELD_NUMBER: _ClassVar[int]
    INDEX_MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    DISCLAIMER_FIELD_NUMBER: _ClassVar[int]
    SERVED_MODEL_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    IMAGE_SPEC_JSON_FIELD_NUMBER: _ClassVar[int]
    version: str
    model_version: str
    image_spec: str
    index_name: str
    index_generation: str
    index_model_version: str
    queues: _containers.RepeatedCompositeFieldContainer[QueueInfo]
    limits: Limits
    disclaimer: str
    served_model_versions: _containers.RepeatedScalarFieldContainer[str]
    by: _case_pb2.Nearness
    image_spec_json: str
    def __init__(self, version: _Optional[str] = ..., model_version: _Optional[str] = ..., image_spec: _Optional[str] = ..., index_name: _Optional[str] = ..., index_generation: _Optional[str] = ..., index_model_version: _Optional[str] = ..., queues: _Optional[_Iterable[_Union[QueueInfo, _Mapping]]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., disclaimer: _Optional[str] = ..., served_model_versions: _Optional[_Iterable[str]] = ..., by: _Optional[_Union[_case_pb2.Nearness, str]] = ..., image_spec_json: _Optional[str] = ...) -> None: ...

class QueueInfo(_message.Message):
    __slots__ = ("priority", "depth", "oldest_age_s", "running", "own_depth")
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    OLDEST_AGE_S_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    OWN_DEPTH_FIELD_NUMBER: _ClassVar[int]
    priority: _job_pb2.Priority
    depth: int
    oldest_age_s: float
    running: int
    own_depth: int
    def __init__(self, priority: _Optional[_Union[_job_pb2.Priority, str]] = ..., depth: _Optional[int] = ..., oldest_age_s: _Optional[float] = ..., running: _Optional[int] = ..., own_depth: _Optional[int] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_payload_bytes", "max_backlog", "max_top_k", "max_backlog_per_key")
    MAX_PAYLOAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_BACKLOG_FIELD_NUMBER: _ClassVar[int]
    MAX_TOP_K_FIELD_NUMBER: _ClassVar[int]
    MAX_BACKLOG_PER_KEY_FIELD_NUMBER: _ClassVar[int]
    max_payload_bytes: int
    max_backlog: int
    max_top_k: int
    max_backlog_per_key: int
    def __init__(self, max_payload_bytes: _Optional[int] = ..., max_backlog: _Optional[int] = ..., max_top_k: _Optional[int] = ..., max_backlog_per_key: _Optional[int] = ...) -> None: ...
