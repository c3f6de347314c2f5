"""The errors of a stream, each with the events that were received before it."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from flask_sluice.client.completions import has_failed_choice
from flask_sluice.client.event import NOT_JSON, StreamEvent

_QUOTED_CHARACTERS = 200
_MAX_FIELD_CHARACTERS = 4000
_MAX_MESSAGE_CHARACTERS = 10_000
"""More than an error's text and what is said before it."""


class Ending(str, enum.Enum):
    """How a stream ended."""

    # enum.StrEnum does the same, from Python 3.11 on.
    __str__ = str.__str__

    COMPLETE = "complete"
    """The terminal event arrived. Only this ending and NO_CONTENT raise no exception."""
    NO_CONTENT = "no_content"
    """The status was 204 or 205: the server has nothing (more) to send."""
    NO_TERMINAL_EVENT = "no_terminal_event"
    """The body ended without the terminal event."""
    CUT_IN_EVENT = "cut_in_event"
    """The body ended in the middle of an event, whose bytes are in ``cut_event``."""
    TRANSPORT_ERROR = "transport_error"
    """The connection could not be opened, or broke."""
    REFUSED = "refused"
    """The status was not 2xx, or a redirect must not be followed."""
    UNREADABLE = "unreadable"
    """The body was not a stream, such as a proxy's HTML page."""
    ERROR_EVENT = "error_event"
    """The server reported a failure within the stream."""
    TIMEOUT = "timeout"
    """A time limit was reached."""
    CLOSED = "closed"
    """``close()`` was called."""


@dataclass(frozen=True)
class ErrorDetails:
    """An error with the fields of OpenAI's API. A missing field is None; one over 4,000 characters is shortened."""

    message: str
    type: str | None = None
    param: str | None = None
    code: str | None = None

    @property
    def name(self) -> str | None:
        """The code, or the type of a server that sends no code."""
        return self.code or self.type


class StreamError(Exception):
    """The stream failed; the base class of all errors here.

    code: a constant for programs
    ending: the stream's ``ending``
    events: the events before the failure, oldest first; at most the last 4 MiB (see ``RecentEvents``)
    event_count: how many events there were in all
    last_event_id: where the stream can be continued, "" if it had no ids
    cut_event: the bytes of an incomplete event, b"" without one
    retry_after_seconds: how long the server asks the client to wait, None if it does not
    """

    code = "stream_error"
    ending: ClassVar[Ending]

    def __init__(self, message: str) -> None:
        super().__init__(one_line(_shorten(message, _MAX_MESSAGE_CHARACTERS)))
        self.events: tuple[StreamEvent, ...] = ()
        self.event_count = 0
        self.last_event_id = ""
        self.cut_event = b""
        self.retry_after_seconds: float | None = None


class TransportError(StreamError):
    """The connection broke before the end of the answer, or the response was not HTTP."""

    code = "transport_error"
    ending = Ending.TRANSPORT_ERROR


class ConnectError(TransportError):
    """The connection could not be opened: refused, an unknown host, or a certificate that is not valid."""

    code = "connect_error"


class StreamTimeoutError(StreamError):
    """A time limit of ``Timeouts`` was reached; each limit has its own subclass."""

    ending = Ending.TIMEOUT
    _reason: ClassVar[str]

    def __init__(self, seconds: float) -> None:
        super().__init__(f"{self._reason} {seconds:g} s")
        self.seconds = seconds


class ConnectTimeoutError(StreamTimeoutError):
    code = "connect_timeout"
    _reason = "there was no connection within"


class FirstEventTimeoutError(StreamTimeoutError):
    code = "first_event_timeout"
    _reason = "no event came within"


class IdleTimeoutError(StreamTimeoutError):
    code = "idle_timeout"
    _reason = "nothing at all came for"


class IdleEventTimeoutError(StreamTimeoutError):
    code = "idle_event_timeout"
    _reason = "no event came (though perhaps keep-alives did) for"


class TotalTimeoutError(StreamTimeoutError):
    code = "total_timeout"
    _reason = "the answer was not there after"


class RefusedError(StreamError):
    """The server answered with a status that is not 2xx.

    status, reason, headers: of the response; ``headers`` ignores the case of names
    body: its beginning, at most 64 KiB
    error: the error that the body describes, None if it describes none
    """

    ending = Ending.REFUSED

    def __init__(
        self,
        status: int,
        reason: str,
        headers: Mapping[str, str],
        body: bytes,
        retry_after_seconds: float | None,
    ) -> None:
        self.error = parse_error(body, is_failure=True)
        described = self.error.message if self.error else quote(body)
        super().__init__(f"{status} {reason}: {described}" if described else f"{status} {reason}")
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body
        self.retry_after_seconds = retry_after_seconds
        self.code = (self.error and self.error.name) or f"status_{status}"


class RedirectError(StreamError):
    """The server redirects to a URL that the client must not follow, or too often."""

    code = "redirect_error"
    ending = Ending.REFUSED


class UnreadableError(StreamError):
    """The status is 2xx, but the body cannot be read as events.

    content_type: the content type that the server sent
    beginning: the beginning of the body
    """

    code = "unreadable"
    ending = Ending.UNREADABLE

    def __init__(self, message: str, content_type: str = "", beginning: bytes = b"") -> None:
        super().__init__(f"{message}: {quote(beginning)}" if beginning else message)
        self.content_type = content_type
        self.beginning = beginning


class TruncatedError(StreamError):
    """The body ended before the answer did.

    Either the terminal event is missing (``NO_TERMINAL_EVENT``), or an event is incomplete (``CUT_IN_EVENT``, with its
    bytes in ``cut_event``).
    """

    code = "truncated"
    ending = Ending.NO_TERMINAL_EVENT

    def __init__(self, cut_event: bytes) -> None:
        if cut_event:
            super().__init__(f"the answer was cut off inside an event: {quote(cut_event)}")
            self.ending = Ending.CUT_IN_EVENT  # type: ignore[misc]
        else:
            super().__init__("the answer was cut off: it ended without its terminal event")
        self.cut_event = cut_event


class ErrorEventError(StreamError):
    """The server reported a failure within the stream: ``event: error``, or an ``error`` in the JSON data.

    event: the event that reported it
    error: the error that the event describes
    """

    ending = Ending.ERROR_EVENT

    def __init__(self, event: StreamEvent, error: ErrorDetails) -> None:
        super().__init__(error.message)
        self.event = event
        self.error = error
        self.code = error.name or "error_event"


class StreamClosedError(StreamError):
    """The stream was closed, perhaps by another thread, before its end."""

    code = "closed"
    ending = Ending.CLOSED

    def __init__(self) -> None:
        super().__init__("the stream was closed before its end")


def parse_error(body: str | bytes, *, is_failure: bool = False) -> ErrorDetails | None:
    """Return the error in a JSON object, None if there is none or if it is falsy.

    is_failure: whether it is known that the object describes an error, so that it may do so in any form

    The error may be an object, as OpenAI sends it (``{"error": {"message": …}}``); a text, as Ollama does
    (``{"error": "text"}``); the object itself, if it says so (``{"type": "error", "message": …}`` of Responses); inside
    ``response`` (``response.failed``); or only a ``finish_reason`` (OpenRouter).
    """
    try:
        document = msgspec.json.decode(body)
    except NOT_JSON:
        return None
    if not isinstance(document, dict):
        return None
    error = document.get("error") or _error_of_response(document)
    if not error and (is_failure or "error" in (document.get("type"), document.get("object"))):
        error = document
    if not error and has_failed_choice(document):
        error = "the server ended the answer with finish_reason error"
    if not error:
        return None
    if not isinstance(error, dict):
        return ErrorDetails(_text(error) or "unspecified error")
    return ErrorDetails(
        message=_text(error.get("message")) or _text(error.get("detail")) or quote(body),
        type=_text(error.get("type")),
        param=_text(error.get("param")),
        code=_text(error.get("code")),
    )


def _error_of_response(document: dict[str, Any]) -> Any:
    response = document.get("response")
    return response.get("error") if isinstance(response, dict) else None


def _text(value: Any) -> str | None:
    if value is None:
        return None
    # Some servers send a number as code, or a list of mistakes as message.
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return _shorten(text, _MAX_FIELD_CHARACTERS)


def _shorten(text: str, limit: int) -> str:
    """Return the text, or its beginning and how long it was."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… (shortened from {len(text):,} characters)"


def quote(text: str | bytes) -> str:
    """Return the beginning of the text in one line."""
    # Four times as much, since white space and bytes may become fewer characters; 10 MB would take a second.
    beginning = text[: 4 * _QUOTED_CHARACTERS]
    if isinstance(beginning, bytes):
        beginning = beginning.decode("utf-8", "replace")
    line = one_line(beginning)
    is_whole = len(line) <= _QUOTED_CHARACTERS and len(text) <= 4 * _QUOTED_CHARACTERS
    return line if is_whole else line[:_QUOTED_CHARACTERS] + "…"


def one_line(text: str) -> str:
    """Return the text in one line, without characters that could garble a log or a terminal."""
    return "".join(
        letter if letter.isprintable() else "\ufffd" for letter in " ".join(text.split())
    )
