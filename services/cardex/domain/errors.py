"""The one exception tree of Cardex.

Each class carries its stable reason, its gRPC code and its HTTP status, so that the servers at
the edge only translate::

    CardexError
    ├── InvalidInput            INVALID_ARGUMENT   400
    │   ├── InvalidEcg          the bytes are not a usable ECG
    │   ├── InvalidQuestion     top_k, text, filters
    │   └── InvalidReport       a row of the report index
    ├── PayloadTooLarge         RESOURCE_EXHAUSTED 413
    ├── Unauthenticated         UNAUTHENTICATED    401
    ├── PermissionDenied        PERMISSION_DENIED  403
    ├── JobNotFound             NOT_FOUND          404
    ├── CaseNotFound            NOT_FOUND          404
    ├── RequestIdReused         ALREADY_EXISTS     409
    ├── JobCancelled            CANCELLED          409
    ├── JobFailed               ABORTED            500
    ├── PayloadExpired          NOT_FOUND          410
    ├── VersionMismatch         FAILED_PRECONDITION 409
    ├── IndexMissing            FAILED_PRECONDITION 409
    ├── Overloaded              RESOURCE_EXHAUSTED 429   has a retry delay
    ├── Unavailable             UNAVAILABLE        503   has a retry delay
    │   ├── TooSlow             a part did not answer in time
    │   └── Busy                a part takes no more for now
    ├── DeadlineExceeded        DEADLINE_EXCEEDED  504
    └── ConfigurationError      FAILED_PRECONDITION 500  stops the start of a process
"""

from collections.abc import Iterator
from typing import ClassVar


class CardexError(Exception):
    """Base of every error that Cardex raises on purpose.

    Attributes:
        reason: stable machine-readable reason (``google.rpc.ErrorInfo.reason``).
        grpc_code: name of the ``grpc.StatusCode``.
        http_status: the HTTP status of the same error.
        field: the request field at fault, in proto path notation, or "".
        retry_after_s: when a client may try again, or None where a retry is useless.
    """

    reason: str = "INTERNAL"
    grpc_code: ClassVar[str] = "INTERNAL"
    http_status: ClassVar[int] = 500

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        field: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        """Make an error; see the class for its attributes. `reason` left out is the class's own."""
        super().__init__(message)
        self.message = message
        self.reason = reason or type(self).reason
        self.field = field
        self.retry_after_s = retry_after_s


class InvalidInput(CardexError):
    """The request itself is at fault: the same bytes will fail again."""

    reason = "INVALID_INPUT"
    grpc_code = "INVALID_ARGUMENT"
    http_status = 400


class InvalidEcg(InvalidInput):
    """The bytes or samples are not a usable 12-lead ECG."""

    reason = "INVALID_ECG"


class InvalidQuestion(InvalidInput):
    """The question beside the ECG is malformed: top_k, text, cursor."""

    reason = "INVALID_QUESTION"


class InvalidReport(InvalidInput):
    """A report that was sent to the index is malformed."""

    reason = "INVALID_REPORT"


class PayloadTooLarge(CardexError):
    """The payload is over the size limit."""

    reason = "PAYLOAD_TOO_LARGE"
    grpc_code = "RESOURCE_EXHAUSTED"
    http_status = 413


class Unauthenticated(CardexError):
    """No API key, or one that is not known."""

    reason = "UNAUTHENTICATED"
    grpc_code = "UNAUTHENTICATED"
    http_status = 401


class PermissionDenied(CardexError):
    """The API key is known but lacks the scope of this method."""

    reason = "PERMISSION_DENIED"
    grpc_code = "PERMISSION_DENIED"
    http_status = 403


class JobNotFound(CardexError):
    """No job of this caller has this id, or its record has expired."""

    reason = "JOB_NOT_FOUND"
    grpc_code = "NOT_FOUND"
    http_status = 404


class CaseNotFound(CardexError):
    """No case that this caller may see has this id."""

    reason = "CASE_NOT_FOUND"
    grpc_code = "NOT_FOUND"
    http_status = 404

    @classmethod
    def of(cls, case_id: str) -> "CaseNotFound":
        """Return the error for an id."""
        return cls(f"no case {case_id[:64]!r}: it never was, or was erased", field="case_id")


class RequestIdReused(CardexError):
    """The request_id was used before for another ECG or question."""

    reason = "REQUEST_ID_REUSED"
    grpc_code = "ALREADY_EXISTS"
    http_status = 409


class JobCancelled(CardexError):
    """The job was cancelled before it was answered."""

    reason = "JOB_CANCELLED"
    grpc_code = "CANCELLED"
    http_status = 409


class JobFailed(CardexError):
    """The job was tried as often as allowed and is in the dead-letter state."""

    reason = "ATTEMPTS_EXHAUSTED"
    grpc_code = "ABORTED"
    http_status = 500


class PayloadExpired(CardexError):
    """The ECG of this job has outlived its time in the store."""

    reason = "PAYLOAD_EXPIRED"
    grpc_code = "NOT_FOUND"
    http_status = 410


class VersionMismatch(CardexError):
    """The model and the index (or the tokenizer) do not belong together."""

    reason = "VERSION_MISMATCH"
    grpc_code = "FAILED_PRECONDITION"
    http_status = 409


class IndexMissing(CardexError):
    """There is no report index yet."""

    reason = "INDEX_MISSING"
    grpc_code = "FAILED_PRECONDITION"
    http_status = 409


class Overloaded(CardexError):
    """The backlog, the rate or the memory is at its limit; the request was not accepted."""

    reason = "OVERLOADED"
    grpc_code = "RESOURCE_EXHAUSTED"
    http_status = 429


class Unavailable(CardexError):
    """A part that Cardex depends on is down or too slow."""

    reason = "UNAVAILABLE"
    grpc_code = "UNAVAILABLE"
    http_status = 503


class TooSlow(Unavailable):
    """A part did not answer in time: the same call at once again would add to its load."""

    reason = "TOO_SLOW"


class Busy(Unavailable):
    """A part answers, but takes no more for now."""

    reason = "BUSY"


class DeadlineExceeded(CardexError):
    """The answer was not ready within the caller's deadline."""

    reason = "DEADLINE_EXCEEDED"
    grpc_code = "DEADLINE_EXCEEDED"
    http_status = 504


class ConfigurationError(CardexError):
    """A setting is wrong or a part cannot run here; the process does not start."""

    reason = "CONFIGURATION"
    grpc_code = "FAILED_PRECONDITION"
    http_status = 500


def _subclasses(kind: type[CardexError]) -> Iterator[type[CardexError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _subclasses(below)


ERRORS: dict[str, type[CardexError]] = {kind.__name__: kind for kind in _subclasses(CardexError)}
"""Every class of the tree by its name, so that an error that was stored or sent keeps its class."""
