"""A client in another language has no generated code of ours: here there is none either."""

from typing import Any

from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from tests.helpers.real import dicom


def test_an_ecg_is_retrieved_by_reflection_alone(channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    assert "cardex.v1.EcgRetrievalService" in database.get_services()
    service = DescriptorPool(database).FindServiceByName("cardex.v1.EcgRetrievalService")
    method = service.FindMethodByName("Retrieve")
    request: Any = GetMessageClass(method.input_type)()
    request.ecg.file.content = dicom().read_bytes()
    response_class = GetMessageClass(method.output_type)
    call = channel.unary_unary(
        f"/{service.full_name}/{method.name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=response_class.FromString,
    )
    answer = MessageToDict(call(request, timeout=30))["answer"]
    assert answer["disclaimer"] == "RESEARCH USE ONLY"
    assert len(answer["hits"]) == 10
    assert answer["hits"][0]["report"]["text"]
