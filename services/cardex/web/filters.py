"""What nearness means, and which cases may be found, as requests say it."""

from collections.abc import Mapping
from typing import Any

from cardex.api.pb.v1 import case_pb2, report_pb2
from cardex.domain.cases import MAX_AGE, MAX_DEVICE, MAX_FILTER_VALUES
from cardex.domain.errors import InvalidQuestion
from cardex.web.wire import parse_message

FIELD = "filter"
NEARNESS = ("REPORT", "ECG", "BOTH")
NEARNESS_SCHEMA: dict[str, Any] = {"enum": ["", *NEARNESS]}

_AGE = {"type": "integer", "minimum": 0, "maximum": MAX_AGE}
_MONTH = {"type": "string", "pattern": r"^((19|20)[0-9]{2}-(0[1-9]|1[0-2]))?$"}
_SOME = {
    "type": "array",
    "maxItems": MAX_FILTER_VALUES,
    "items": {"type": "string", "minLength": 1, "maxLength": MAX_DEVICE, "pattern": r"\S"},
}
FILTER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "min_age": _AGE,
        "max_age": _AGE,
        "sex": {"enum": report_pb2.Sex.keys()},
        "with_codes": _SOME,
        "without_codes": _SOME,
        "languages": _SOME,
        "devices": _SOME,
        "from_month": _MONTH,
        "to_month": _MONTH,
    },
}


def filter_of(fields: Mapping[str, Any]) -> case_pb2.CaseFilter | None:
    """Return the filter that JSON fields say, None where they say nothing.

    Its values are checked by the gateway.

    Raises:
        InvalidQuestion: naming the field that is unknown or of another type.
    """
    return parse_message(fields, case_pb2.CaseFilter(), FIELD) if fields else None


def nearness_of(by: str) -> str:
    """Return the contract's name of what nearness means, UNSPECIFIED for an empty text.

    Raises:
        InvalidQuestion: if it is none of `NEARNESS`.
    """
    if not by:
        return "NEARNESS_UNSPECIFIED"
    if by.upper() not in NEARNESS:
        raise InvalidQuestion("by must be REPORT, ECG or BOTH", reason="NEARNESS", field="by")
    return f"NEARNESS_{by.upper()}"
