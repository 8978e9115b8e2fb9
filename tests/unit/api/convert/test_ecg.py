import numpy as np
import pytest

from cardex.api.convert.ecg import from_payload, payload_of, to_payload
from cardex.api.pb.internal.v1 import payload_pb2
from cardex.api.pb.v1 import ecg_pb2
from cardex.domain.ecg import LEADS, FilePart, TypedSamples
from cardex.domain.errors import InvalidEcg


def file(content: bytes = b"bytes", name: str = "", **companions: bytes) -> ecg_pb2.Ecg:
    others = [ecg_pb2.CompanionFile(name=n, content=c) for n, c in companions.items()]
    return ecg_pb2.Ecg(file=ecg_pb2.ClinicalFile(content=content, name=name, companions=others))


def samples(
    unit: ecg_pb2.VoltageUnit = ecg_pb2.VOLTAGE_UNIT_MICROVOLT, rate: float = 500.0
) -> ecg_pb2.Ecg:
    leads = [ecg_pb2.Lead(name=lead, values=[0.5, -1.0, float(n)]) for n, lead in enumerate(LEADS)]
    return ecg_pb2.Ecg(samples=ecg_pb2.Samples(leads=leads, rate_hz=rate, unit=unit))


def test_the_name_of_a_single_file_is_dropped():
    payload = to_payload(file(name="Doe_John_1970.dcm"))
    assert b"Doe" not in payload
    assert payload == to_payload(file())


def test_the_names_of_several_files_are_kept():
    ecg = file(b"header", "a.hea", **{"a.dat": b"signals"})
    assert from_payload(to_payload(ecg)) == (
        FilePart("a.hea", b"header"),
        FilePart("a.dat", b"signals"),
    )


def test_the_same_bytes_are_the_same_payload():
    assert to_payload(file()) == to_payload(file())
    assert to_payload(file()) != to_payload(file(b"other"))


def test_the_request_is_left_as_it_was():
    ecg = file(name="a.dcm")
    to_payload(ecg)
    assert ecg.file.name == "a.dcm"


def test_a_file_comes_back():
    assert from_payload(to_payload(file(name="a.dcm"))) == (FilePart("", b"bytes"),)


@pytest.mark.parametrize(
    ("unit", "name"),
    [
        (ecg_pb2.VOLTAGE_UNIT_MICROVOLT, "uV"),
        (ecg_pb2.VOLTAGE_UNIT_MILLIVOLT, "mV"),
        (ecg_pb2.VOLTAGE_UNIT_UNSPECIFIED, "unspecified"),
        (7, "unspecified"),
    ],
)
def test_typed_samples_come_back(unit, name):
    found = from_payload(to_payload(samples(unit)))
    assert isinstance(found, TypedSamples)
    assert (found.leads, found.rate, found.unit) == (LEADS, 500.0, name)
    assert all(values.dtype == np.float32 for values in found.values)
    assert found.values[3].tolist() == [0.5, -1.0, 3.0]


def test_the_bytes_of_an_ecg_are_not_shown_in_logs():
    ecg = from_payload(to_payload(file(b"secret")))
    assert ecg == (FilePart("", b"secret"),)
    assert "secret" not in repr(ecg)


def test_a_message_without_an_ecg_is_refused():
    with pytest.raises(InvalidEcg) as caught:
        to_payload(ecg_pb2.Ecg())
    assert (caught.value.reason, caught.value.field) == ("EMPTY_PAYLOAD", "ecg")


@pytest.mark.parametrize("ecg", [file(b""), file(b"", "a.hea", **{"a.dat": b"signals"})])
def test_an_empty_file_is_refused(ecg):
    with pytest.raises(InvalidEcg) as caught:
        to_payload(ecg)
    assert (caught.value.reason, caught.value.field) == ("EMPTY_PAYLOAD", "ecg.file.content")


HALF_A_SAMPLE = payload_pb2.StoredEcg(
    samples=payload_pb2.StoredSamples(leads=[payload_pb2.StoredLead(name="I", values=b"\0\0")])
).SerializeToString()


@pytest.mark.parametrize(
    "payload",
    [b"\xff", b"\x12\x7f", to_payload(file())[:-2], to_payload(samples())[:-2], HALF_A_SAMPLE],
    ids=["no message", "no content", "half a file", "half the leads", "half a sample"],
)
def test_a_damaged_payload_is_refused(payload):
    with pytest.raises(InvalidEcg, match="damaged"):
        from_payload(payload)


# Samples that a client sent in pieces.

NUMBERS = np.arange(24, dtype=np.float32)


def block(tag: int, content: bytes) -> bytes:
    """Return a field of bytes; its length takes two bytes, however short it is."""
    return bytes([tag << 3 | 2, len(content) & 0x7F | 0x80, len(content) >> 7]) + content


def lead_of(name: str, *blocks: bytes) -> bytes:
    """Return a lead with these blocks of `values`."""
    return block(1, block(1, name.encode()) + b"".join(block(2, each) for each in blocks))


def ecg_of(leads: bytes) -> bytes:
    rest = payload_pb2.StoredSamples(rate_hz=500.0, unit=1).SerializeToString()
    return block(1, leads + rest)


def test_samples_in_several_blocks_are_all_read():
    raw = NUMBERS.tobytes()
    found = from_payload(ecg_of(lead_of("I", raw[:40], raw[40:]) + lead_of("II", raw)))
    assert isinstance(found, TypedSamples)
    assert [values.tolist() for values in found.values] == [NUMBERS.tolist()] * 2


def test_samples_that_were_sent_one_by_one_are_all_read():
    one_by_one = b"".join(b"\x15" + number.tobytes() for number in NUMBERS)
    found = from_payload(ecg_of(block(1, block(1, b"I") + one_by_one)))
    assert isinstance(found, TypedSamples)
    assert found.values[0].tolist() == NUMBERS.tolist()


def test_samples_and_a_file_at_once_are_refused():
    both = samples().SerializeToString() + file().SerializeToString()
    with pytest.raises(InvalidEcg, match="send one of the two"):
        payload_of(both)


def test_bytes_that_are_no_message_are_refused():
    with pytest.raises(InvalidEcg) as caught:
        payload_of(b"\xff\xff")
    assert caught.value.field == "ecg"


def test_samples_are_stored_as_they_were_sent():
    sent = samples().SerializeToString()
    assert payload_of(sent) is sent


def test_a_block_and_numbers_one_by_one_are_all_read():
    rest = b"".join(b"\x15" + number.tobytes() for number in NUMBERS[10:])
    lead = block(1, b"I") + block(2, NUMBERS[:10].tobytes()) + rest
    found = from_payload(ecg_of(block(1, lead)))
    assert isinstance(found, TypedSamples)
    assert found.values[0].tolist() == NUMBERS.tolist()


def test_steps_and_numbers_one_by_one_are_refused():
    lead = block(1, b"I") + block(3, b"\0\0") + b"\x15" + NUMBERS[1].tobytes()
    with pytest.raises(InvalidEcg, match="one of the two"):
        from_payload(ecg_of(block(1, lead)))
