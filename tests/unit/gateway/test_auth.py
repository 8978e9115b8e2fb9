from types import SimpleNamespace

import grpc
import pytest

from cardex.api.pb.v1 import ecg_retrieval_pb2, report_index_pb2
from cardex.domain.errors import InvalidQuestion
from cardex.gateway.auth import SCOPES, AuthInterceptor, caller
from cardex.gateway.keys import KeyRing, Scope, add_to_file

RPCS = {
    f"/{service.full_name}/{method.name}": method
    for module in (ecg_retrieval_pb2, report_index_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}

# Which methods.


def test_every_rpc_of_the_contract_has_its_scopes_and_no_other_has():
    assert SCOPES.keys() == RPCS.keys()


@pytest.mark.parametrize("method", SCOPES)
def test_every_method_is_open_to_some_scope(method):
    assert SCOPES[method]


def test_only_the_key_of_the_index_writes_the_index():
    writing = [name for name in SCOPES if "/Upsert" in name or "/Delete" in name]
    assert writing
    assert all(SCOPES[name] == {Scope.INDEX} for name in writing)


# Calls.


class Aborted(Exception):
    pass


class Context:
    """What grpc gives a handler; keeps the status that a call ended with."""

    async def abort(self, code, details, trailing_metadata):
        self.code, self.details = code, details
        raise Aborted


@pytest.fixture
def keys(tmp_path):
    path = tmp_path / "keys.toml"
    made = {name: add_to_file(path, name, [name]) for name in ("submit", "search", "admin")}
    return SimpleNamespace(ring=KeyRing(path), **made)


GET_JOB = "/cardex.v1.EcgRetrievalService/GetJob"
WATCH = "/cardex.v1.EcgRetrievalService/WatchJobs"


async def who(request, context):
    return caller().name


async def names(request, context):
    yield caller().name


async def fails(request, context):
    raise InvalidQuestion("top_k 0", reason="TOP_K", field="question.top_k")


HANDLERS: dict[str, grpc.RpcMethodHandler] = {
    "unary": grpc.unary_unary_rpc_method_handler(who),
    "stream": grpc.unary_stream_rpc_method_handler(names),
    "fails": grpc.unary_unary_rpc_method_handler(fails),
}


async def wrapped(ring, handler, method=GET_JOB, **metadata):
    async def continuation(_):
        return HANDLERS[handler]

    details = SimpleNamespace(method=method, invocation_metadata=tuple(metadata.items()))
    return await AuthInterceptor(ring).intercept_service(continuation, details)


async def refusal(ring, **metadata):
    handler, context = await wrapped(ring, "unary", **metadata), Context()
    with pytest.raises(Aborted):
        await handler.unary_unary(None, context)
    return context.code


async def test_without_keys_everybody_may_call():
    handler = await wrapped(None, "unary")
    assert await handler.unary_unary(None, Context()) == "local"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_handler_knows_its_caller(keys, scheme):
    handler = await wrapped(keys.ring, "unary", authorization=f"{scheme} {keys.submit}")
    assert await handler.unary_unary(None, Context()) == "submit"


async def test_the_handler_of_a_stream_knows_its_caller(keys):
    handler = await wrapped(keys.ring, "stream", WATCH, authorization=f"Bearer {keys.submit}")
    assert [name async for name in handler.unary_stream(None, Context())] == ["submit"]


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "abc"])
async def test_a_call_without_a_key_is_unauthenticated(keys, header):
    metadata = {} if header is None else {"authorization": header}
    assert await refusal(keys.ring, **metadata) is grpc.StatusCode.UNAUTHENTICATED


async def test_a_call_with_an_unknown_key_is_unauthenticated(keys):
    code = await refusal(keys.ring, authorization="Bearer cdx_unknown")
    assert code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_key_without_the_scope_is_denied(keys):
    code = await refusal(keys.ring, authorization=f"Bearer {keys.search}")
    assert code is grpc.StatusCode.PERMISSION_DENIED


async def test_the_administrators_key_opens_every_method(keys):
    for method in SCOPES:
        handler = await wrapped(keys.ring, "unary", method, authorization=f"Bearer {keys.admin}")
        assert await handler.unary_unary(None, Context()) == "admin"


async def test_health_and_reflection_are_open(keys):
    handler = await wrapped(keys.ring, "unary", "/grpc.health.v1.Health/Check")
    assert handler is HANDLERS["unary"]


async def test_a_method_that_nobody_serves_stays_unknown(keys):
    async def continuation(_):
        return None

    details = SimpleNamespace(method=GET_JOB, invocation_metadata=())
    assert await AuthInterceptor(keys.ring).intercept_service(continuation, details) is None


async def test_an_error_of_the_tree_ends_the_call_with_its_status():
    handler, context = await wrapped(None, "fails"), Context()
    with pytest.raises(Aborted):
        await handler.unary_unary(None, context)
    assert (context.code, context.details) == (grpc.StatusCode.INVALID_ARGUMENT, "top_k 0")
