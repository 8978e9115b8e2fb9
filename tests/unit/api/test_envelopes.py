import pytest

from cardex.api.pb.internal.v1 import envelope_pb2, payload_pb2
from cardex.api.pb.v1 import ecg_pb2, ecg_retrieval_pb2, job_pb2

VARINT, EIGHT_BYTES, BLOCK = 0, 1, 2
_WIRE = {1: EIGHT_BYTES, 2: 5, 9: BLOCK, 11: BLOCK, 12: BLOCK}  # by the field's type; else a varint

PAIRS = [
    (envelope_pb2.EcgEnvelope, ecg_retrieval_pb2.RetrieveRequest),
    (envelope_pb2.EcgEnvelope, ecg_retrieval_pb2.SubmitEcgRequest),
    (envelope_pb2.BatchEnvelope, ecg_retrieval_pb2.SubmitBatchRequest),
    (envelope_pb2.EcgSource, ecg_pb2.Ecg),
    (envelope_pb2.FileSource, ecg_pb2.ClinicalFile),
    (envelope_pb2.AnswerEnvelope, ecg_retrieval_pb2.RetrieveResponse),
    (envelope_pb2.JobEnvelope, job_pb2.Job),
    (envelope_pb2.JobResponse, ecg_retrieval_pb2.SubmitEcgResponse),
    (envelope_pb2.JobResponse, ecg_retrieval_pb2.GetJobResponse),
    (envelope_pb2.JobResponse, ecg_retrieval_pb2.CancelJobResponse),
    (envelope_pb2.BatchResponse, ecg_retrieval_pb2.SubmitBatchResponse),
    (envelope_pb2.WatchResponse, ecg_retrieval_pb2.WatchJobsResponse),
    (payload_pb2.StoredSamples, ecg_pb2.Samples),
    (payload_pb2.StoredLead, ecg_pb2.Lead),
]


def layout(message) -> dict[int, tuple[str, int, bool]]:
    """Return name, wire type and repetition of each field by its number."""
    return {
        field.number: (
            field.name,
            # A packed repeated number is one block.
            BLOCK if field.is_packed else _WIRE.get(field.type, VARINT),
            field.is_repeated and not field.is_packed,
        )
        for field in message.DESCRIPTOR.fields
    }


@pytest.mark.parametrize(("own", "public"), PAIRS, ids=lambda message: message.DESCRIPTOR.full_name)
def test_an_envelope_has_the_fields_of_the_public_message(own, public):
    assert layout(own) == layout(public)
