"""Reports, what answers say of them, and the index."""

from google.protobuf.timestamp_pb2 import Timestamp

from cardex.api.pb.v1 import report_index_pb2, report_pb2
from cardex.domain.index import IndexInfo
from cardex.domain.reports import Draft, Finding, Hit, Prediction, Report, Statement


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
        statements=tuple(
            Statement(
                code=statement.code,
                description=statement.description,
                likelihood=statement.likelihood if statement.HasField("likelihood") else None,
                support=statement.support or 1.0,
            )
            for statement in message.statements
        ),
    )


def hit_message(hit: Hit) -> report_pb2.Hit:
    """Translate a hit."""
    return report_pb2.Hit(
        rank=hit.rank, score=hit.score, report=report_message(hit.report), match=hit.match
    )


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


def index_message(index: IndexInfo, report_count: int) -> report_index_pb2.IndexInfo:
    """Translate the index."""
    created = Timestamp()
    created.FromMilliseconds(int(index.created * 1000))
    return report_index_pb2.IndexInfo(
        name=index.name,
        generation=index.generation,
        model_version=index.model_version,
        report_count=report_count,
        create_time=created,
    )
