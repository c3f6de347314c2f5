"""What can go wrong with a stream, each with what was received before it."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from flask_sluice.client.event import NOT_JSON, StreamEvent

_QUOTED_CHARACTERS = 200


class Ending(str, enum.Enum):
    """How a stream ended."""

    # As enum.StrEnum does from Python 3.11 on.
    __str__ = str.__str__

    COMPLETE = "complete"
    """With its terminal event; the only one, but for NO_CONTENT, that raises nothing."""
    NO_CONTENT = "no_content"
    """With status 204: the server has nothing (more) to send."""
    NO_TERMINAL_EVENT = "no_terminal_event"
    """The body ended, properly or not to be told, but the answer had not."""
    CUT_IN_EVENT = "cut_in_event"
    """The body ended in the middle of an event, whose bytes are in ``cut_event``."""
    TRANSPORT_ERROR = "transport_error"
    """There was no connection, or it broke."""
    REFUSED = "refused"
    """With a status that is not 2xx, or a redirect that must not be followed."""
    UNREADABLE = "unreadable"
    """With something that is no stream, such as a proxy's HTML page."""
    ERROR_EVENT = "error_event"
    """The server reported a failure in mid-stream."""
    TIMEOUT = "timeout"
    CLOSED = "closed"
    """By ``close()``."""


@dataclass(frozen=True)
class ErrorDetails:
    """An error as the server describes it, in the shape of the OpenAI API; what it did not say is None."""

    message: str
    type: str | None = None
    param: str | None = None
    code: str | None = None

    @property
    def name(self) -> str | None:
        """The most exact that there is; some servers give only types."""
        return self.code or self.type


class StreamError(Exception):
    """Any failure of a stream.

    code: what programs test
    ending: what the stream's ``ending`` is from now on
    events: those received before, oldest first; the last 4 MiB of them (see ``History``)
    event_count: how many there were in all
    last_event_id: where the stream could be continued ("" if it had no ids)
    cut_event: the bytes of an event that was cut, b"" if none was
    retry_after_seconds: how long the server wants the next try to wait, None if it did not say
    """

    code = "stream_error"
    ending: ClassVar[Ending]

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))
        self.events: tuple[StreamEvent, ...] = ()
        self.event_count = 0
        self.last_event_id = ""
        self.cut_event = b""
        self.retry_after_seconds: float | None = None


class TransportError(StreamError):
    """The connection broke before the end of the answer, or what came was not HTTP."""

    code = "transport_error"
    ending = Ending.TRANSPORT_ERROR


class ConnectError(TransportError):
    """There is no connection: refused, no such host, or its certificate is not valid."""

    code = "connect_error"


class StreamTimeoutError(StreamError):
    """A time limit of ``Timeouts`` was reached; each has a class of its own."""

    ending = Ending.TIMEOUT
    _happened: ClassVar[str]

    def __init__(self, seconds: float) -> None:
        super().__init__(f"{self._happened} {seconds:g} s")
        self.seconds = seconds


class ConnectTimeoutError(StreamTimeoutError):
    code = "connect_timeout"
    _happened = "there was no connection within"


class FirstEventTimeoutError(StreamTimeoutError):
    code = "first_event_timeout"
    _happened = "no event came within"


class IdleTimeoutError(StreamTimeoutError):
    code = "idle_timeout"
    _happened = "nothing at all came for"


class IdleEventTimeoutError(StreamTimeoutError):
    code = "idle_event_timeout"
    _happened = "no event came (though perhaps keep-alives did) for"


class TotalTimeoutError(StreamTimeoutError):
    code = "total_timeout"
    _happened = "the answer was not there after"


class RefusedError(StreamError):
    """The server answered with a status that is not 2xx.

    status, reason, headers: of the answer; the names of headers in any case
    body: its beginning, at most 64 KiB
    error: what it says of itself, None if it does not
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
        self.error = parse_error(body)
        described = self.error.message if self.error else quote(body)
        super().__init__(f"{status} {reason}: {described}" if described else f"{status} {reason}")
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body
        self.retry_after_seconds = retry_after_seconds
        self.code = (self.error and self.error.name) or f"status_{status}"


class RedirectError(StreamError):
    """The server redirects to where the client must not go, or too often."""

    code = "redirect_error"
    ending = Ending.REFUSED


class UnreadableError(StreamError):
    """The status is 2xx, but the body is nothing that can be read as events.

    content_type: as the server sent it
    beginning: of the body
    """

    code = "unreadable"
    ending = Ending.UNREADABLE

    def __init__(self, message: str, content_type: str = "", beginning: bytes = b"") -> None:
        super().__init__(f"{message}: {quote(beginning)}" if beginning else message)
        self.content_type = content_type
        self.beginning = beginning


class TruncatedError(StreamError):
    """The body ended, but the answer had not: its terminal event never came (``NO_TERMINAL_EVENT``), or an
    event has no end (``CUT_IN_EVENT``, with its bytes in ``cut_event``)."""

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
    """The server reported a failure in mid-stream: ``event: error``, or an ``error`` in the JSON data.

    event: as it came
    error: what it says
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


def parse_error(body: str | bytes) -> ErrorDetails | None:
    """The error in a JSON object: OpenAI's ``{"error": {"message", …}}``, or ``{"error": "text"}`` as Ollama
    says it. None if there is none, or a falsy one."""
    try:
        document = msgspec.json.decode(body)
    except NOT_JSON:
        return None
    error = document.get("error") if isinstance(document, dict) else None
    if not error:
        return None
    if not isinstance(error, dict):
        return ErrorDetails(str(error))
    return ErrorDetails(
        message=_text(error.get("message")) or quote(body),
        type=_text(error.get("type")),
        param=_text(error.get("param")),
        code=_text(error.get("code")),
    )


def _text(value: Any) -> str | None:
    # Some servers give numbers for codes.
    return None if value is None else str(value)


def quote(text: str | bytes) -> str:
    """The beginning, in one line."""
    if isinstance(text, bytes):
        text = text[: 4 * _QUOTED_CHARACTERS].decode("utf-8", "replace")
    line = one_line(text)
    return line if len(line) <= _QUOTED_CHARACTERS else line[:_QUOTED_CHARACTERS] + "…"


def one_line(text: str) -> str:
    """Fit for a log and a terminal, whatever a server has put into it."""
    return "".join(
        letter if letter.isprintable() else "\ufffd" for letter in " ".join(text.split())
    )
