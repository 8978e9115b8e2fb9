"""Cases, filters and nearness."""

from dataclasses import replace

from cardex.api.convert.reports import (
    case_message,
    report_message,
    sex_message,
    sex_of,
    statements_of,
)
from cardex.api.convert.traces import trace_message
from cardex.api.pb.v1 import case_pb2, report_pb2
from cardex.domain.cases import Case, CaseFilter, Filing, Nearness, Sex, full_id
from cardex.domain.errors import InvalidQuestion, InvalidReport
from cardex.domain.index import FoundCase
from cardex.domain.jobs import DISCLAIMER, SHOWN_RECORD_IDS

NEARNESS = {
    Nearness.REPORT: case_pb2.NEARNESS_REPORT,
    Nearness.ECG: case_pb2.NEARNESS_ECG,
    Nearness.BOTH: case_pb2.NEARNESS_BOTH,
}


def nearness_of(number: int) -> Nearness | None:
    """Translate what nearness means; None where it is not said.

    Raises:
        InvalidQuestion: if the number stands for none.
    """
    if number == case_pb2.NEARNESS_UNSPECIFIED:
        return None
    for nearness, known in NEARNESS.items():
        if known == number:
            return nearness
    raise InvalidQuestion(
        f"by {number}: must be REPORT, ECG or BOTH", reason="NEARNESS", field="question.by"
    )


def filter_of(message: case_pb2.CaseFilter) -> CaseFilter:
    """Translate a filter, unchecked.

    Raises:
        InvalidQuestion: if a number stands for no sex.
    """
    sex = sex_of(message.sex)
    if sex is None:
        raise InvalidQuestion(
            f"sex {message.sex}: must be FEMALE, MALE or left out",
            reason="FILTER",
            field="question.filter.sex",
        )
    return CaseFilter(
        min_age=message.min_age if message.HasField("min_age") else None,
        max_age=message.max_age if message.HasField("max_age") else None,
        sex=sex,
        with_codes=tuple(message.with_codes),
        without_codes=tuple(message.without_codes),
        languages=tuple(message.languages),
        devices=tuple(message.devices),
        from_month=message.from_month,
        to_month=message.to_month,
    )


def filter_message(wanted: CaseFilter) -> case_pb2.CaseFilter:
    """Translate a filter."""
    return case_pb2.CaseFilter(
        min_age=wanted.min_age,
        max_age=wanted.max_age,
        sex=sex_message(wanted.sex),
        with_codes=wanted.with_codes,
        without_codes=wanted.without_codes,
        languages=wanted.languages,
        devices=wanted.devices,
        from_month=wanted.from_month,
        to_month=wanted.to_month,
    )


def filing_of(message: case_pb2.FileAs, archive: str) -> Filing:
    """Translate what an ECG is to be filed as, by a caller of an archive, unchecked.

    Raises:
        InvalidReport: if a number stands for no sex.
    """
    return Filing(_case_of(message.case, message.report, archive), message.index, message.only)


def filing_message(filing: Filing) -> case_pb2.FileAs:
    """Translate what an ECG is to be filed as."""
    case = filing.case
    return case_pb2.FileAs(
        case=report_pb2.Case(
            case_id=case.case_id,
            age=case.age,
            sex=sex_message(case.sex),
            month=case.month,
            language=case.language,
            device=case.device,
            statements=[
                report_pb2.Statement(
                    code=one.code, description=one.description, likelihood=one.likelihood
                )
                for one in case.statements
            ],
        ),
        report=case.text,
        index=filing.index,
        only=filing.only,
    )


def _case_of(message: report_pb2.Case, text: str, archive: str) -> Case:
    sex = sex_of(message.sex)
    if sex is None:
        raise InvalidReport(
            f"sex {message.sex}: must be FEMALE, MALE or left out", field="file_as.case.sex"
        )
    return Case(
        case_id=full_id(message.case_id, archive),
        text=text,
        age=message.age if message.HasField("age") else None,
        sex=sex or Sex.UNKNOWN,
        month=message.month,
        language=message.language,
        device=message.device,
        statements=statements_of(message.statements),
    )


def case_response(found: FoundCase, *, restricted: bool) -> case_pb2.GetCaseResponse:
    """Translate a case with its report and trace.

    Args:
        found: the case.
        restricted: whether the caller may not see what the report's other records tell.
    """
    report = found.report
    if restricted:
        own = found.filed.case
        report = replace(
            report,
            language=own.language,
            record_ids=(own.case_id,),
            record_count=1,
            statements=own.statements,
        )
    elif len(report.record_ids) > SHOWN_RECORD_IDS:
        report = replace(report, record_ids=report.record_ids[:SHOWN_RECORD_IDS])
    return case_pb2.GetCaseResponse(
        case=case_message(found.filed),
        report=report_message(report),
        trace=trace_message(found.trace) if found.trace else None,
        disclaimer=DISCLAIMER,
    )
