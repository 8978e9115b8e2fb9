import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardex.api.pb.v1 import case_pb2
from cardex.domain.errors import InvalidQuestion
from cardex.web.filters import FILTER_SCHEMA, filter_of, nearness_of
from cardex.web.traces import TRACE_SCHEMA
from cardex.web.wire import json_of, parse_json, parse_message

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from([field.name for field in case_pb2.CaseFilter.DESCRIPTOR.fields])


def test_a_filter_has_the_names_of_the_contract():
    fields = {"min_age": 40, "sex": "SEX_FEMALE", "with_codes": ["IMI", "AFIB"], "maxAge": 90}
    assert filter_of(fields) == case_pb2.CaseFilter(
        min_age=40, sex="SEX_FEMALE", with_codes=["IMI", "AFIB"], max_age=90
    )


def test_no_filter_is_none_and_age_nought_is_one():
    assert filter_of({}) is None
    zero = filter_of({"min_age": 0})
    assert zero is not None
    assert zero.HasField("min_age")


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("{", "filter"), ("[]", "filter"), ("1", "filter"), ('"x"', "filter"),
        ("[" * 100_000, "filter"), ("9" * 5000, "filter"),
        ('{"name": "Doe"}', "filter"),
        ('{"min_age": "old"}', "filter.min_age"), ('{"min_age": 1.5}', "filter.min_age"),
        ('{"maxAge": 1e400}', "filter.max_age"), ('{"max_age": 4294967296}', "filter.max_age"),
        ('{"sex": "F"}', "filter.sex"), ('{"with_codes": "IMI"}', "filter.with_codes"),
        ('{"with_codes": [null]}', "filter.with_codes"),
        ('{"devices": ["\\ud800"]}', "filter.devices"),
        ('{"from_month": {}}', "filter.from_month"), ('{"to_month": null}', "filter.to_month"),
        ('{"min_age": "40"}', "filter.min_age"), ('{"min_age": true}', "filter.min_age"),
        ('{"min_age": [40]}', "filter.min_age"), ('{"sex": 1}', "filter.sex"),
        ('{"max_age": NaN}', "filter.max_age"),
    ],
)  # fmt: skip
def test_an_error_names_the_field_and_quotes_nothing(text, field):
    with pytest.raises(InvalidQuestion) as caught:
        filter_of(parse_json(text, "filter"))
    assert caught.value.field == field
    assert field in caught.value.message
    assert "Doe" not in caught.value.message


@given(st.dictionaries(FIELDS | st.text(), JSON, max_size=4))
def test_no_json_breaks_the_reading_of_a_filter(fields):
    try:
        parsed = parse_message(fields, case_pb2.CaseFilter(), "filter")
    except InvalidQuestion:
        return
    json.dumps(json_of(parsed))


@pytest.mark.parametrize(
    ("schema", "message"),
    [(FILTER_SCHEMA, case_pb2.CaseFilter), (TRACE_SCHEMA, case_pb2.Trace)],
)
def test_the_schemas_have_every_field_of_their_messages(schema, message):
    assert list(schema["properties"]) == [field.name for field in message.DESCRIPTOR.fields]


def test_nearness_is_named():
    assert [nearness_of(by) for by in ("", "REPORT", "ecg", "Both")] == [
        "NEARNESS_UNSPECIFIED", "NEARNESS_REPORT", "NEARNESS_ECG", "NEARNESS_BOTH"
    ]  # fmt: skip
    with pytest.raises(InvalidQuestion) as caught:
        nearness_of("UNSPECIFIED")
    assert caught.value.field == "by"
