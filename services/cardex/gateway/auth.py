"""Who may call what: checks the API key and scope of every call."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any, TypeAlias

import grpc

from cardex.api.status import status_of
from cardex.domain.errors import (
    CardexError,
    PermissionDenied,
    Unauthenticated,
)
from cardex.gateway.keys import ANYBODY, KeyRing, Principal, Scope
from cardex.gateway.metrics import IN_FLIGHT, REQUESTS, count_from_zero

_RETRIEVAL = "/cardex.v1.EcgRetrievalService/"
_INDEX = "/cardex.v1.ReportIndexService/"
_EVERY = frozenset(Scope)

SCOPES: dict[str, frozenset[Scope]] = {
    f"{_RETRIEVAL}Retrieve": frozenset({Scope.SUBMIT}),
    f"{_RETRIEVAL}SubmitEcg": frozenset({Scope.SUBMIT}),
    f"{_RETRIEVAL}SubmitBatch": frozenset({Scope.SUBMIT}),
    f"{_RETRIEVAL}GetJob": frozenset({Scope.SUBMIT}),
    f"{_RETRIEVAL}WatchJobs": frozenset({Scope.SUBMIT}),
    f"{_RETRIEVAL}CancelJob": frozenset({Scope.SUBMIT}),
    f"{_RETRIEVAL}SearchReports": frozenset({Scope.SEARCH}),
    f"{_RETRIEVAL}GetCase": frozenset({Scope.SUBMIT, Scope.SEARCH}),
    f"{_RETRIEVAL}GetServerInfo": _EVERY,
    f"{_INDEX}UpsertReports": frozenset({Scope.INDEX}),
    f"{_INDEX}DeleteReports": frozenset({Scope.INDEX}),
    f"{_INDEX}MigrateIndex": frozenset({Scope.INDEX}),
    f"{_INDEX}BeginRebuild": frozenset({Scope.INDEX}),
    f"{_INDEX}CommitRebuild": frozenset({Scope.INDEX}),
    f"{_INDEX}DeleteCases": frozenset({Scope.INDEX}),
    f"{_INDEX}GetIndex": frozenset({Scope.INDEX, Scope.SEARCH}),
}
"""Scopes that open each method. Methods that are not listed (health, reflection) are open."""

UNFORESEEN = ("INTERNAL", "UNKNOWN")
"""How an exception is counted that is no error of the tree; gRPC tells its caller UNKNOWN."""

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

_caller: ContextVar[Principal] = ContextVar("caller")


def caller() -> Principal:
    """Return who makes the call that is being served."""
    return _caller.get()


class AuthInterceptor(grpc.aio.ServerInterceptor):
    """Checks every call, and turns errors of the tree into rich statuses."""

    def __init__(self, keys: KeyRing | None) -> None:
        """Ask for a key of `keys`; None lets everybody in."""
        self._keys = keys
        count_from_zero(SCOPES)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Wrap the handler of one call."""
        handler = await continuation(details)
        if handler is None or details.method not in SCOPES:
            return handler
        metadata = dict(details.invocation_metadata or ())

        def authorize() -> None:
            _caller.set(self._authorize(details.method, metadata))

        return _guarded(handler, details.method, authorize)

    def _authorize(self, method: str, metadata: dict[str, Any]) -> Principal:
        if self._keys is None:
            return ANYBODY
        scheme, _, key = str(metadata.get("authorization", "")).partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise Unauthenticated(
                'send an API key as metadata "authorization: Bearer KEY"', reason="API_KEY_MISSING"
            )
        principal = self._keys.identify(key.strip())
        if not principal.may(SCOPES[method]):
            needed = " or ".join(sorted(scope.value for scope in SCOPES[method]))
            raise PermissionDenied(f"key {principal.name!r} lacks the scope {needed}")
        return principal


def _guarded(handler: Handler, method: str, authorize: Callable[[], None]) -> Handler:
    """Return the handler, the caller checked before it, its errors translated after it."""
    in_flight = IN_FLIGHT.labels(method)
    if handler.response_streaming:

        async def stream(request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: ANN401
            # grpc's types know only its blocking handlers
            serve: Any = (
                handler.stream_stream if handler.request_streaming else handler.unary_stream
            )
            try:
                authorize()
                with in_flight.track_inprogress():
                    async for response in serve(request, context):
                        yield response
            except CardexError as error:
                await _refuse(context, method, error)
            except Exception:
                REQUESTS.labels(method, *UNFORESEEN).inc()
                raise
            else:
                REQUESTS.labels(method, "OK", "OK").inc()

        make = (
            grpc.stream_stream_rpc_method_handler
            if handler.request_streaming
            else grpc.unary_stream_rpc_method_handler
        )
        return make(stream, handler.request_deserializer, handler.response_serializer)

    async def unary(request: Any, context: Any) -> Any:  # noqa: ANN401
        assert handler.unary_unary is not None
        try:
            authorize()
            with in_flight.track_inprogress():
                response = await handler.unary_unary(request, context)
        except CardexError as error:
            await _refuse(context, method, error)
        except Exception:
            REQUESTS.labels(method, *UNFORESEEN).inc()
            raise
        else:
            REQUESTS.labels(method, "OK", "OK").inc()
            return response

    return grpc.unary_unary_rpc_method_handler(
        unary, handler.request_deserializer, handler.response_serializer
    )


async def _refuse(context: Any, method: str, error: CardexError) -> None:  # noqa: ANN401
    REQUESTS.labels(method, error.reason, error.grpc_code).inc()
    status = status_of(error)
    await context.abort(status.code, status.details, status.trailing_metadata)
