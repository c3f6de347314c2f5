"""The errors that a client may see, in the shape of the OpenAI API."""

from collections.abc import Mapping
from typing import TypedDict


class ErrorBody(TypedDict):
    """The value of ``error`` in the JSON of a refused request or of an error event."""

    message: str
    type: str
    param: str | None
    code: str | None


class ApiError(Exception):
    """A failure with a message that may be shown to the client.

    Before the first byte of the answer it becomes an HTTP response with ``status``; after it, one error
    event.

    status: the HTTP status
    code: what programs test, such as "invalid_request"
    message: what people read; says what to do where something can be done
    param: the field of the request that is at fault
    headers: for the response, such as Retry-After
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

    def body(self) -> ErrorBody:
        return {
            # Half a surrogate pair, which an upstream's JSON may hold, is no text and would fail to be sent.
            "message": self.message.encode("utf-8", "replace").decode(),
            "type": _error_type(self.status),
            "param": self.param,
            "code": self.code,
        }


def draining() -> ApiError:
    """What a stream, or a request, is told by a worker that is to end."""
    return ApiError(
        503,
        "draining",
        "the server is being restarted; ask again",
        headers={"Retry-After": "1"},
    )


def internal_error() -> ApiError:
    """What a client may know of an unexpected failure: only that it happened."""
    return ApiError(500, "internal_error", "the server failed while answering; the log says why")


class PlainAnswer(Exception):
    """The answer is a plain HTTP response, whatever the request asked for.

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


def as_api_error(error: BaseException) -> ApiError:
    """What a client may know of any exception."""
    if isinstance(error, ApiError):
        return error
    return internal_error()


def _error_type(status: int) -> str:
    # The names that OpenAI's own clients and dashboards know.
    if status == 401:
        return "authentication_error"
    if status == 429:
        return "rate_limit_error"
    return "invalid_request_error" if status < 500 else "server_error"
