from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Sex(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEX_UNSPECIFIED: _ClassVar[Sex]
    SEX_FEMALE: _ClassVar[Sex]
    SEX_MALE: _ClassVar[Sex]
SEX_UNSPECIFIED: Sex
SEX_FEMALE: Sex
SEX_MALE: Sex

class Report(_message.Message):
    __slots__ = ("report_id", "text", "language", "record_ids", "record_count", "statements")
    REPORT_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    RECORD_IDS_FIELD_NUMBER: _ClassVar[int]
    RECORD_COUNT_FIELD_NUMBER: _ClassVar[int]
    STATEMENTS_FIELD_NUMBER: _ClassVar[int]
    report_id: str
    text: str
    language: str
    record_ids: _containers.RepeatedScalarFieldContainer[str]
    record_count: int
    statements: _containers.RepeatedCompositeFieldContainer[Statement]
    def __init__(self, report_id: _Optional[str] = ..., text: _Optional[str] = ..., language: _Optional[str] = ..., record_ids: _Optional[_Iterable[str]] = ..., record_count: _Optional[int] = ..., statements: _Optional[_Iterable[_Union[Statement, _Mapping]]] = ...) -> None: ...

class Statement(_message.Message):
    __slots__ = ("code", "description", "likelihood", "support")
    CODE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    LIKELIHOOD_FIELD_NUMBER: _ClassVar[int]
    SUPPORT_FIELD_NUMBER: _ClassVar[int]
    code: str
    description: str
    likelihood: float
    support: float
    def __init__(self, code: _Optional[str] = ..., description: _Optional[str] = ..., likelihood: _Optional[float] = ..., support: _Optional[float] = ...) -> None: ...

class Case(_message.Message):
    __slots__ = ("case_id", "report_id", "age", "sex", "month", "language", "device", "statements", "has_ecg", "similarity")
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    REPORT_ID_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    SEX_FIELD_NUMBER: _ClassVar[int]
    MONTH_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    STATEMENTS_FIELD_NUMBER: _ClassVar[int]
    HAS_ECG_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    case_id: str
    report_id: str
    age: int
    sex: Sex
    month: str
    language: str
    device: str
    statements: _containers.RepeatedCompositeFieldContainer[Statement]
    has_ecg: bool
    similarity: float
    def __init__(self, case_id: _Optional[str] = ..., report_id: _Optional[str] = ..., age: _Optional[int] = ..., sex: _Optional[_Union[Sex, str]] = ..., month: _Optional[str] = ..., language: _Optional[str] = ..., device: _Optional[str] = ..., statements: _Optional[_Iterable[_Union[Statement, _Mapping]]] = ..., has_ecg: _Optional[bool] = ..., similarity: _Optional[float] = ...) -> None: ...

class Hit(_message.Message):
    __slots__ = ("rank", "score", "report", "match", "report_similarity", "ecg_similarity", "cases")
    RANK_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    MATCH_FIELD_NUMBER: _ClassVar[int]
    REPORT_SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    ECG_SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    CASES_FIELD_NUMBER: _ClassVar[int]
    rank: int
    score: float
    report: Report
    match: float
    report_similarity: float
    ecg_similarity: float
    cases: _containers.RepeatedCompositeFieldContainer[Case]
    def __init__(self, rank: _Optional[int] = ..., score: _Optional[float] = ..., report: _Optional[_Union[Report, _Mapping]] = ..., match: _Optional[float] = ..., report_similarity: _Optional[float] = ..., ecg_similarity: _Optional[float] = ..., cases: _Optional[_Iterable[_Union[Case, _Mapping]]] = ...) -> None: ...

class Finding(_message.Message):
    __slots__ = ("code", "description", "share", "report_ids")
    CODE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    REPORT_IDS_FIELD_NUMBER: _ClassVar[int]
    code: str
    description: str
    share: float
    report_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, code: _Optional[str] = ..., description: _Optional[str] = ..., share: _Optional[float] = ..., report_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Prediction(_message.Message):
    __slots__ = ("code", "description", "snomed_code", "probability")
    CODE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SNOMED_CODE_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    code: str
    description: str
    snomed_code: str
    probability: float
    def __init__(self, code: _Optional[str] = ..., description: _Optional[str] = ..., snomed_code: _Optional[str] = ..., probability: _Optional[float] = ...) -> None: ...

class Draft(_message.Message):
    __slots__ = ("label", "sentences")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SENTENCES_FIELD_NUMBER: _ClassVar[int]
    label: str
    sentences: _containers.RepeatedCompositeFieldContainer[DraftSentence]
    def __init__(self, label: _Optional[str] = ..., sentences: _Optional[_Iterable[_Union[DraftSentence, _Mapping]]] = ...) -> None: ...

class DraftSentence(_message.Message):
    __slots__ = ("text", "report_ids")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    REPORT_IDS_FIELD_NUMBER: _ClassVar[int]
    text: str
    report_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, text: _Optional[str] = ..., report_ids: _Optional[_Iterable[str]] = ...) -> None: ...
