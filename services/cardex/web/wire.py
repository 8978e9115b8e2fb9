"""Between JSON and the contract's messages."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message
from pydantic import AfterValidator

from cardex.domain.errors import InvalidQuestion

M = TypeVar("M", bound=Message)


def json_of(message: Message) -> dict[str, Any]:
    """Return a message as JSON with the contract's field names; fields at zero are shown too."""
    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def parse_json(text: str, field: str) -> dict[str, Any]:
    """Return the object that a form field holds as JSON; an empty text is an empty object.

    Raises:
        InvalidQuestion: if it is no JSON object.
    """
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise _refusal(field, "is no JSON: send an object") from error
    if not isinstance(found, dict):
        raise _refusal(field, "must be a JSON object")
    return found


def parse_message(fields: Mapping[str, Any], message: M, field: str) -> M:
    """Fill a message from JSON fields, one by one, so that an error can name the one at fault.

    Raises:
        InvalidQuestion: if a field is unknown or its value has the wrong type.
    """
    known = {
        name: item.name
        for item in message.DESCRIPTOR.fields
        for name in (item.name, item.json_name)
    }
    for name, value in fields.items():
        if name not in known:
            listed = ", ".join(dict.fromkeys(known.values()))
            raise _refusal(field, f"has a field that is not known: the fields are {listed}")
        try:
            ParseDict({name: value}, message)
        except (ParseError, ValueError, TypeError, RecursionError) as error:
            problem = "has a value of another type than the contract says"
            raise _refusal(f"{field}.{known[name]}", problem) from error
    return message


def wire_number(number: int) -> int:
    """Return a number that the contract can carry; the gateway says what is wrong with it."""
    return max(-1, min(number, 2**31 - 1))


def encodable(text: str) -> str:
    """Return a text without halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode()


def _whole(text: str) -> str:
    """Refuse half a surrogate pair, which JSON can hold and no message carries."""
    if encodable(text) != text:
        raise ValueError("holds what is no Unicode text")
    return text


Utf8 = Annotated[str, AfterValidator(_whole)]


def _refusal(field: str, problem: str) -> InvalidQuestion:
    return InvalidQuestion(f"{field} {problem}", reason="SCHEMA", field=field)
