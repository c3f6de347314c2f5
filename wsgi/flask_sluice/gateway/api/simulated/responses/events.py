"""The events of a kept response on their way in and out of the journal, which numbers them itself."""

import re
from collections.abc import Callable
from contextlib import ExitStack

from flask import Response, request

from flask_sluice.gateway.settings import Settings
from flask_sluice.gateway.simulator.apis.responses.format import ResponsesFormat
from flask_sluice.gateway.simulator.options import Fault
from flask_sluice.journal.protocol import Follower, Journal
from flask_sluice.journal.reading.feed import JournalFeed
from flask_sluice.journal.reading.reader import Follow
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError, CutError
from flask_sluice.stream.event_stream import EventStream
from flask_sluice.stream.feeds.feed import Forward
from flask_sluice.stream.headers_and_errors import error_for_responses, stream_headers
from flask_sluice.stream.responses import StreamResponse
from flask_sluice.stream.transport.client_socket import client_of

_RETRY_MS = 2000
_NOT_OF_THE_API = re.compile(rb"^(?:id|retry)?:.*\n", re.MULTILINE)
_NUMBER = re.compile(rb'event: [a-z_.]+\ndata: \{"type":"[a-z_.]+","sequence_number":(\d+)[,}]')
_DELTA = re.compile(rb"event: [a-z_.]+\.delta\n")
_RESET = b"event: reset\n"
_TOKENS_BEFORE_FAULT = 3
_CONNECTION_FAULTS = ("cut", "reset", "truncate", "no_done")
WIRE_FAULTS = (*_CONNECTION_FAULTS, "stall", "malformed", "duplicate", "heartbeat", "split_utf8")
"""What happens to the bytes of a connection, and not to the response."""
_GONE = ApiError(
    400, "invalid_request", "This response can no longer be streamed: its events are gone."
)


class ResponseReader:
    """Takes the events of a response that nothing but the journal reads; see ``AnswerReader``.

    comment: what the first and the last event have besides
    """

    __slots__ = ("_comment", "_last", "_number", "error", "is_over")

    def __init__(self, comment: bytes) -> None:
        self._comment = comment
        self._number = 0
        self._last = b""
        self.is_over = False
        self.error: ApiError | None = None

    def read(self, events: bytes) -> list[bytes]:
        """Return the events that are to be kept: those of the response, each once."""
        kept = []
        for block in events.split(b"\n\n"):
            match = _NUMBER.match(block)
            if match is None or int(match[1]) != self._number or self.is_over:
                continue
            event = block + b"\n\n"
            if self._number == 0:
                event = self._comment + event
            self._number += 1
            if ResponsesFormat.is_terminal(event):
                self.is_over, self._last = True, event
            else:
                kept.append(event)
        return kept

    @property
    def has_finish_reason(self) -> bool:
        return False

    def terminal_event(self) -> bytes:
        """Return the event that ends a whole answer."""
        return self._comment + self._last


class ResponseFeed(JournalFeed):
    """Gives a reader the events of a response as the API has them: without ids, which the journal adds, and comments.

    after: how many events the reader has
    fault: of the reader's connection; those that do not end it are left out
    """

    def __init__(
        self, follow: Follow, context: StreamContext, after: int, fault: Fault | None = None
    ) -> None:
        self._after = after
        self._broken: Exception | None = None
        is_broken = fault is not None and fault.kind in _CONNECTION_FAULTS
        self._fault = ReaderFault(fault) if fault is not None and is_broken else None
        self._is_over = False
        self.context = context
        super().__init__(follow, _RETRY_MS, context, self.render_error)

    def render_error(self, error: Exception) -> bytes:
        """Return the event that tells the reader what the response itself does not."""
        return error_for_responses(error, self._after + self.event_count)

    @property
    def is_finished(self) -> bool:
        return self._is_over or super().is_finished

    @property
    def has_events(self) -> bool:
        return not self._is_over and super().has_events

    @property
    def error(self) -> Exception | None:  # type: ignore[override]
        return self._broken or super().error

    def take(self) -> bytes:
        if self._is_over:
            return b""
        events = super().take()
        if _RESET in events:
            self._is_over, self._broken = True, _GONE
            return b""
        events = _NOT_OF_THE_API.sub(b"", events)
        if self._fault is not None:
            events, self._is_over = self._fault.pass_on(events)
            if self._is_over:
                self._broken = self._fault.error
        return events

    def wait(self, forward: Forward | None = None) -> None:
        if forward is None or self._fault is not None:
            super().wait(None)
        else:
            super().wait(lambda events: forward(_NOT_OF_THE_API.sub(b"", events)))


def event_response(feed: ResponseFeed, settings: Settings) -> Response:
    """Stream the events of a response to the current request's client. Raises TooManyStreamsError."""
    with ExitStack() as on_failure:
        # It has a place in the journal already.
        on_failure.callback(feed.stop)
        stream = EventStream(
            feed,
            context=feed.context,
            render_error=feed.render_error,
            client=client_of(request.environ),
            options=settings.stream_options,
        )
        on_failure.callback(stream.close)
        stream.start()
        on_failure.pop_all()
    return StreamResponse(stream, stream_headers(feed.context.request_id))


class ReaderFault:
    """Breaks the connection of one reader; the response goes on, and another reader may read the rest.

    fault: of a kind that ends a connection
    error: what breaks the connection; None: it ends properly
    """

    def __init__(self, fault: Fault) -> None:
        self._kind = fault.kind
        self._left = _TOKENS_BEFORE_FAULT if fault.after is None else fault.after
        is_cut = fault.kind in ("cut", "reset")
        self.error = (
            CutError("a failure was asked for", is_reset=fault.kind == "reset") if is_cut else None
        )

    def pass_on(self, events: bytes) -> tuple[bytes, bool]:
        """Return the events that come through, and whether they are the last."""
        passed: list[bytes] = []
        for block in events.split(b"\n\n")[:-1]:
            event = block + b"\n\n"
            is_last = ResponsesFormat.is_terminal(event)
            if is_last and self._kind == "no_done":
                return b"".join(passed), True
            if _DELTA.match(event) and self._kind != "no_done":
                if not self._left:
                    return b"".join(passed), True
                self._left -= 1
            passed.append(event)
        return b"".join(passed), False


def read_until_end(journal: Journal, response_id: str) -> None:
    """Read a response's events for as long as it runs, so that it goes on without its client."""
    follower: Follower | None = None

    def take() -> None:
        if follower is None:
            return
        follower.take()
        follower.forward = _drop
        if follower.is_finished:
            follower.close()

    with journal.turns:
        follower = journal.follow(response_id, 0, take)
        take()


def _drop(event: bytes) -> bool:  # noqa: ARG001 - a reader that keeps nothing
    return True


Render = Callable[[Exception], bytes]


def with_comment(comment: bytes, render: Render) -> Render:
    """Return what makes the last event of a response that fails, with the comment in it."""
    return lambda error: comment + render(error)
