import re
from collections.abc import Iterator

import grpc
import pytest

from cardex.domain import errors
from cardex.domain.errors import CardexError


def tree(kind: type[CardexError] = CardexError) -> Iterator[type[CardexError]]:
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from tree(child)


KINDS = list(tree())
BRANCH = re.compile(r"[├└]── (?P<name>\w+)(?:\s+(?P<code>[A-Z_]+)\s+(?P<status>\d{3})\b)?")
DRAWN = {found["name"]: found for found in BRANCH.finditer(errors.__doc__)}


@pytest.mark.parametrize("kind", [CardexError, *KINDS])
def test_its_grpc_code_is_one(kind):
    assert kind.grpc_code in grpc.StatusCode.__members__


@pytest.mark.parametrize("kind", [CardexError, *KINDS])
def test_its_http_status_is_an_error(kind):
    assert 400 <= kind.http_status < 600


@pytest.mark.parametrize("kind", [CardexError, *KINDS])
def test_its_reason_is_upper_case(kind):
    assert re.fullmatch(r"[A-Z][A-Z_]*[A-Z]", kind.reason)


def test_no_two_classes_share_a_reason():
    kinds: list[type[CardexError]] = [CardexError, *KINDS]
    reasons = [kind.reason for kind in kinds]
    assert sorted(set(reasons)) == sorted(reasons)


def test_the_drawing_shows_every_class_and_no_other():
    assert set(DRAWN) == {kind.__name__ for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_the_drawing_gives_the_codes_of_the_class_or_of_its_parent(kind):
    drawn = DRAWN[kind.__name__]
    if drawn["code"] is None:
        drawn = DRAWN[kind.__mro__[1].__name__]
    assert (drawn["code"], int(drawn["status"])) == (kind.grpc_code, kind.http_status)


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_can_pass_is_drawn_with_a_retry_delay(kind):
    line = next(
        line for line in errors.__doc__.splitlines() if f"── {kind.__name__} " in f"{line} "
    )
    assert ("retry delay" in line) == (kind.reason in {"OVERLOADED", "UNAVAILABLE"})


def test_an_error_may_carry_a_finer_reason_of_its_own():
    error = errors.InvalidEcg("too short", reason="DURATION", field="ecg.samples.leads")
    assert (error.reason, error.field) == ("DURATION", "ecg.samples.leads")
    assert errors.InvalidEcg.reason == "INVALID_ECG"


def test_its_text_is_its_message():
    error = errors.Unavailable("Milvus is down", retry_after_s=2.0)
    assert str(error) == error.message == "Milvus is down"
    assert error.retry_after_s == 2.0
