"""Reports, what answers say of them, and the index."""

from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp

from cardex.api.pb.v1 import report_index_pb2, report_pb2
from cardex.domain.cases import FiledCase, Sex
from cardex.domain.index import CaseMatch, Hit, IndexInfo
from cardex.domain.reports import Draft, Finding, Prediction, Report, Statement


def report_message(report: Report) -> report_pb2.Report:
    """Translate a report."""
    return report_pb2.Report(
        report_id=report.report_id,
        text=report.text,
        language=report.language,
        record_ids=report.record_ids,
        record_count=report.record_count,
        statements=[_statement_message(statement) for statement in report.statements],
    )


def _statement_message(statement: Statement) -> report_pb2.Statement:
    return report_pb2.Statement(
        code=statement.code,
        description=statement.description,
        likelihood=statement.likelihood,
        support=statement.support,
    )


def report_of(message: report_pb2.Report) -> Report:
    """Translate a report message, unchecked."""
    return Report(
        report_id=message.report_id,
        text=message.text,
        language=message.language,
        record_ids=tuple(message.record_ids),
        record_count=message.record_count,
        statements=statements_of(message.statements),
    )


def statements_of(messages: Iterable[report_pb2.Statement]) -> tuple[Statement, ...]:
    """Translate statements, unchecked."""
    return tuple(
        Statement(
            code=statement.code,
            description=statement.description,
            likelihood=statement.likelihood if statement.HasField("likelihood") else None,
            support=statement.support or 1.0,
        )
        for statement in messages
    )


def hit_message(hit: Hit) -> report_pb2.Hit:
    """Translate a hit."""
    return report_pb2.Hit(
        rank=hit.rank,
        score=hit.score,
        report=report_message(hit.report),
        match=hit.match,
        report_similarity=hit.report_similarity,
        ecg_similarity=hit.ecg_similarity,
        cases=[_case_match_message(match) for match in hit.cases],
    )


_SEXES = {
    Sex.UNKNOWN: report_pb2.SEX_UNSPECIFIED,
    Sex.FEMALE: report_pb2.SEX_FEMALE,
    Sex.MALE: report_pb2.SEX_MALE,
}


def sex_message(sex: Sex) -> report_pb2.Sex:
    """Translate a sex."""
    return _SEXES[sex]


def sex_of(number: int) -> Sex | None:
    """Translate a sex; None for a number that stands for none."""
    return next((sex for sex, known in _SEXES.items() if known == number), None)


def case_message(filed: FiledCase, similarity: float | None = None) -> report_pb2.Case:
    """Translate a case of the index, with its similarity where it was searched by its ECG."""
    case = filed.case
    return report_pb2.Case(
        case_id=case.case_id,
        report_id=filed.report_id,
        age=case.age,
        sex=sex_message(case.sex),
        month=case.month,
        language=case.language,
        device=case.device,
        statements=[_statement_message(statement) for statement in case.statements],
        has_ecg=case.has_ecg,
        similarity=similarity if case.has_ecg else None,
    )


def _case_match_message(match: CaseMatch) -> report_pb2.Case:
    return case_message(match.filed, match.similarity)


def finding_message(finding: Finding) -> report_pb2.Finding:
    """Translate a finding."""
    return report_pb2.Finding(
        code=finding.code,
        description=finding.description,
        share=finding.share,
        report_ids=finding.report_ids,
    )


def prediction_message(prediction: Prediction) -> report_pb2.Prediction:
    """Translate a prediction."""
    return report_pb2.Prediction(
        code=prediction.code,
        description=prediction.description,
        snomed_code=prediction.snomed_code,
        probability=prediction.probability,
    )


def draft_message(draft: Draft) -> report_pb2.Draft:
    """Translate a draft."""
    return report_pb2.Draft(
        label=draft.label,
        sentences=[
            report_pb2.DraftSentence(text=sentence.text, report_ids=sentence.report_ids)
            for sentence in draft.sentences
        ],
    )


def index_message(
    index: IndexInfo, report_count: int, case_count: int = 0
) -> report_index_pb2.IndexInfo:
    """Translate the index."""
    created = Timestamp()
    created.FromMilliseconds(int(index.created * 1000))
    return report_index_pb2.IndexInfo(
        name=index.name,
        generation=index.generation,
        model_version=index.model_version,
        report_count=report_count,
        create_time=created,
        case_count=case_count,
    )
