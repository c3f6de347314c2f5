"""The errors with which a stream, or a request, can end. Clients see them in the shape of the OpenAI API."""

import copyreg
from collections.abc import Mapping
from typing import Any, TypedDict


class _ErrorFields(TypedDict):
    message: str
    type: str
    param: str | None
    code: str | int | None


class ErrorBody(_ErrorFields, total=False):
    """The value of ``error`` in the JSON of a refused request or of an error event.

    retry_after: seconds, where an upstream's refusal comes after the response's headers, which would have said them
    """

    retry_after: int


class ApiError(Exception):
    """A failure with a message that the client may see.

    Before the first byte of the answer the gateway makes it an HTTP response with ``status``; after it, a stream makes it
    one error event.

    status: the HTTP status
    code: for programs, such as "invalid_request"
    message: for people; says what to do where something can be done
    param: the field of the request that is at fault
    headers: of the response, such as Retry-After
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.headers = dict(headers or {})

    def __reduce__(self) -> tuple[Any, ...]:
        """Let it be pickled, as Celery and pools of processes do with what a task raises."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]

    def body(self) -> ErrorBody:
        """Return the value of ``error`` in the JSON that the client gets."""
        return {
            "message": as_unicode(self.message),
            "type": _error_type(self.status),
            "param": self.param,
            "code": self.code,
        }


STOPPED = ApiError(503, "stopped", "the answer was stopped")
ENDED_BY_APP = (STOPPED.code, "kicked")


def was_ended_by_app(error: ApiError) -> bool:
    """Whether the app, or a client through it, has ended the stream: it is cancelled, and has not failed."""
    return error.code in ENDED_BY_APP


def draining() -> ApiError:
    """Return the error for streams and requests of a worker that is to end."""
    return ApiError(
        503,
        "draining",
        "the server is being restarted; ask again",
        headers={"Retry-After": "1"},
    )


def internal_error() -> ApiError:
    """Return the error that tells a client of an unexpected failure, and nothing about it."""
    return ApiError(500, "internal_error", "the server failed while answering; the log says why")


class PlainAnswer(Exception):
    """Raised where the answer is a plain HTTP response although the request asked for a stream.

    status, headers, body: as they go to the client
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"a plain response with status {status}")
        self.status = status
        self.headers = dict(headers)
        self.body = body


class CutError(Exception):
    """The connection is to break where it is, as if the process had died: the body stays visibly unfinished.

    is_reset: with RST instead of FIN, as when a process is killed with data unread
    """

    def __init__(self, message: str, *, is_reset: bool = False) -> None:
        super().__init__(message)
        self.is_reset = is_reset


def as_unicode(text: str) -> str:
    """Replace halves of surrogate pairs, which an upstream's JSON may hold and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()


def as_api_error(error: BaseException) -> ApiError:
    """Return what a client may know of any exception."""
    if isinstance(error, ApiError):
        return error
    return internal_error()


def _error_type(status: int) -> str:
    # The names that OpenAI's clients and dashboards know.
    if status == 401:
        return "authentication_error"
    if status == 429:
        return "rate_limit_error"
    return "invalid_request_error" if status < 500 else "server_error"
