"""Between JSON and the contract's messages."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message
from pydantic import AfterValidator

from cardex.domain.errors import InvalidQuestion

M = TypeVar("M", bound=Message)

_JSON_TYPES: dict[int, tuple[type, ...]] = {
    FieldDescriptor.CPPTYPE_INT32: (int, float),  # 40.0 is a whole number in JSON too
    FieldDescriptor.CPPTYPE_DOUBLE: (int, float),
    FieldDescriptor.CPPTYPE_STRING: (str,),  # and bytes, in base64
    FieldDescriptor.CPPTYPE_ENUM: (str,),
}


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

    Values have the types that the schema says: neither null nor a number in quotes is taken.

    Raises:
        InvalidQuestion: if a field is unknown or its value has the wrong type.
    """
    described = message.DESCRIPTOR.fields
    known = {name: one for one in described for name in (one.name, one.json_name)}
    for name, value in fields.items():
        if name not in known:
            listed = ", ".join(one.name for one in described)
            raise _refusal(field, f"has a field that is not known: the fields are {listed}")
        try:
            _check_type(known[name].cpp_type, known[name].is_repeated, value)
            ParseDict({name: value}, message)
        except (ParseError, ValueError, TypeError, RecursionError) as error:
            problem = "has a value of another type than the schema says"
            raise _refusal(f"{field}.{known[name].name}", problem) from error
    return message


def _check_type(cpp_type: int, is_repeated: bool, value: object) -> None:
    """Raise TypeError where JSON has another type than a field, which a parser may still take."""
    if is_repeated != isinstance(value, list):
        raise TypeError
    fits = _JSON_TYPES[cpp_type]
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, fits) and not isinstance(one, bool) for one in values):
        raise TypeError


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
