"""The body of a response that streams."""

import enum
import errno
import logging
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, NoReturn, TypeVar

import gevent

from flask_sluice.observe.outcome import Outcome
from flask_sluice.observe.tracing.spans import Span
from flask_sluice.stream import registry
from flask_sluice.stream.accounting import StreamAccount
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import STOPPED, ApiError, CutError, draining, was_ended_by_app
from flask_sluice.stream.feeds.feed import Feed, holds_event
from flask_sluice.stream.loop.stream_handle import StreamHandle
from flask_sluice.stream.options import StreamOptions
from flask_sluice.stream.timers import Timers
from flask_sluice.stream.transport.client_socket import ClientSocket
from flask_sluice.stream.transport.direct_writer import DirectWriter

C = TypeVar("C", bound=Callable[[], object])

logger = logging.getLogger("sluice.stream")

_CLOSE_TIMEOUT_SECONDS = 60


class State(enum.Enum):
    """Where a stream is in its life; it only moves forward."""

    NEW = enum.auto()
    """Nothing has been started. The stream of a HEAD request stays here."""
    OPEN = enum.auto()
    ENDED = enum.auto()
    """The last bytes have been handed to the server, or lie in the writer."""
    CLOSED = enum.auto()


class Departure(NamedTuple):
    """The client is gone. reason: for the log; at: monotonic seconds"""

    reason: str
    at: float


class EventStream:
    """The response body: an iterable of bytes with ``close()``, as PEP 3333 requires it.

    Events come from a feed. The request greenlet, in ``__next__``, waits on that feed alone: an event, the end, a timer and
    the client's leaving all wake it there, and it decides what comes next. It is the only one that writes, nothing is
    raised into it from outside, and ``close()`` releases everything however the stream ends.

    feed: gives the events
    context: what the stream shares with the feed's generator or connection
    render_error: makes the error event of a stream that fails after its headers
    client: the connection; None where there is none to watch, as in a test client
    options: keep-alive, deadlines, write timeout
    preamble: written at once, before the first event
    on_disconnect: called after the client has left before the end
    """

    __slots__ = (
        "__weakref__",
        "_account",
        "_client",
        "_close_callbacks",
        "_context",
        "_departure",
        "_drain_error",
        "_feed",
        "_handle",
        "_has_unsent_events",
        "_on_disconnect",
        "_preamble",
        "_render_error",
        "_state",
        "_timers",
        "_writer",
    )

    def __init__(
        self,
        feed: Feed,
        *,
        context: StreamContext,
        render_error: Callable[[Exception], bytes],
        client: ClientSocket | None,
        options: StreamOptions,
        preamble: bytes | None = None,
        on_disconnect: Callable[[], object] | None = None,
    ) -> None:
        self._feed = feed
        self._context = context
        self._account = StreamAccount(context)
        self._handle = StreamHandle(self)
        self._render_error = render_error
        self._client = client
        self._writer: DirectWriter | None = None
        self._preamble = preamble
        self._on_disconnect = on_disconnect
        self._timers = Timers(options, time.monotonic())
        self._departure: Departure | None = None
        self._drain_error: ApiError | None = None
        self._close_callbacks: list[Callable[[], object]] = []
        self._has_unsent_events = False
        self._state = State.NEW

    @property
    def request_id(self) -> str:
        return self._context.request_id

    @property
    def outcome(self) -> Outcome | None:
        """How the stream ended; None while it runs, and if it was never started."""
        return self._context.outcome

    @property
    def event_count(self) -> int:
        """How many events its feed has given."""
        return self._feed.event_count

    @property
    def byte_count(self) -> int:
        """How many bytes of the body have been written."""
        return self._account.written.byte_count

    # The request greenlet: before the response begins.

    def start(self, commit_seconds: float | None = None) -> None:
        """Start the feed and the timers; without this call, the first ``__next__`` does.

        Raises TooManyStreamsError if the worker has as many streams as it takes.
        """
        if self._context.is_taken:
            raise RuntimeError("a StreamContext is for one stream; make another")
        self._context.is_taken = True
        self._timers.begin(time.monotonic(), commit_seconds)
        self._account.open(self._handle, self._timers.started_at)
        self._state = State.OPEN
        if self._client is not None:
            registry.disconnect_watcher().watch(self._client.fd, self._handle)
        registry.ticker().add(self._handle, self._timers.next_look(self._timers.started_at))
        self._feed.start()

    def wait_for_first_event(self, commit_seconds: float | None) -> None:
        """Start the stream before its headers are sent, so that an early failure keeps its true status.

        Returns when there is something to send: the first event, the end, or, after ``commit_seconds`` of silence, a
        keep-alive (None: never; and not before the context's ``may_commit``). Also returns when the client has left; the body then ends at once.

        Raises the exception with which the feed failed before its first event, and what ``start`` raises; the stream
        is closed then.
        """
        may_go_on = False
        if not self._context.may_commit:
            self._context.on_commit_allowed = self._feed.wake
        try:
            self.start(commit_seconds)
            self._wait_for_first_event()
            may_go_on = True
        finally:
            if not may_go_on:
                self.close()

    def _wait_for_first_event(self) -> None:
        feed = self._feed
        while not (feed.has_begun or self._departure):
            now = time.monotonic()
            error = self._drain_error or self._timers.overdue(now)
            if error is not None:
                self._refuse(error)
            if self._timers.commit_is_due(now) and self._context.may_commit:
                self._context.is_committed = True
                if self._preamble is None:
                    self._preamble = self._timers.options.keepalive
                    self._account.written.keepalive_count += bool(self._preamble)
                return
            feed.wait()
        # A fault that cuts the connection cuts a response that has begun.
        if feed.error is not None and not (feed.has_events or isinstance(feed.error, CutError)):
            self._refuse(feed.error)

    def _refuse(self, error: Exception) -> NoReturn:
        self._account.error = error
        self._context.outcome = Outcome.ERROR
        raise error

    def write_directly(self, writer: DirectWriter) -> None:
        """Write past the server, which alone iterates this body, from now on."""
        self._writer = writer

    def end_with_stream(self, spans: list[Span]) -> None:
        """Have the request's spans end when the stream does."""
        self._account.spans = spans

    def call_on_close(self, callback: C) -> C:
        """Have ``callback`` called when the stream is closed. Returns it, as Werkzeug's method does."""
        self._close_callbacks.append(callback)
        return callback

    # The request greenlet: while the server iterates the body.

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        feed, timers = self._feed, self._timers
        # The last events go out with the end of the body behind them.
        if not feed.is_finished or feed.has_events:
            self._flush()
        timers.is_writing = False
        if self._state is State.NEW:
            self.start()
        if self._preamble is not None:
            preamble, self._preamble = self._preamble, None
            return self._write(preamble)
        while self._state is State.OPEN:
            events = feed.take()
            if self._departure and (events or not (feed.is_finished or feed.has_terminal_event)):
                self._end_without_client()
            if events:
                return self._write_events(events)
            # A client that closes right after the terminal event has the whole answer.
            if feed.is_finished or (self._departure and feed.has_terminal_event):
                error = feed.error or self._stopped()
                if error is not None:
                    return self._fail(error)
                self._complete()
                break
            now = time.monotonic()
            error = self._drain_error or timers.overdue(now)
            if error is not None:
                if feed.has_terminal_event:
                    # The client has the whole answer, or knows why not: only the end of the body is late.
                    self._complete()
                    break
                return self._fail(error)
            if self._at_boundary() and timers.keepalive_is_due(now):
                self._account.written.keepalive_count += 1
                return self._write(timers.options.keepalive)
            writer = self._writer
            feed.wait(self._on_events if writer is not None and writer.may_write_now else None)
            self._flush()
        self._has_unsent_events = self._writer is not None and self._writer.has_unsent
        # gunicorn writes the last chunk now, and that write may hang like any other.
        timers.write_begins(time.monotonic())
        raise StopIteration

    def _write_events(self, events: bytes) -> bytes:
        timers = self._timers
        timers.write_begins(time.monotonic())
        if holds_event(events):
            timers.event_at = timers.written_at
        self._account.written.add_events(events, timers.written_at)
        return events

    def _write(self, data: bytes) -> bytes:
        """gunicorn writes what ``__next__`` returns, until it calls that again."""
        self._timers.write_begins(time.monotonic())
        self._account.written.add_other(data)
        return data

    def _flush(self) -> None:
        if self._writer is None or not self._writer.has_unsent:
            return
        if self._departure:
            self._end_without_client()
        self._timers.write_begins(time.monotonic())
        self._writer.flush()
        self._timers.is_writing = False

    def _at_boundary(self) -> bool:
        return self._feed.is_event_stream and self._account.written.ends_with_whole_event

    # The ways to end.

    def _complete(self) -> None:
        """The feed has ended without an error, and all its events are written."""
        context = self._context
        told = context.told_error
        if told is not None:
            self._account.error = told
            context.outcome = Outcome.CANCELLED if was_ended_by_app(told) else Outcome.ERROR
        elif context.failure is not None:
            context.outcome = Outcome.ERROR
        else:
            context.outcome = Outcome.CANCELLED if context.is_stopped else Outcome.COMPLETE
        self._state = State.ENDED

    def _fail(self, error: Exception) -> bytes:
        """Return the one error event with which the body ends."""
        self._context.outcome = Outcome.CANCELLED if error is STOPPED else Outcome.ERROR
        if isinstance(error, CutError):
            self._cut(str(error), reset=error.is_reset)
        self._account.tell(error)
        if not self._at_boundary():
            self._cut("an error event after half an event would be taken for the rest of it")
        self._state = State.ENDED
        return self._write(self._render_error(error))

    def _cut(self, reason: str, *, reset: bool = False) -> NoReturn:
        """Leave the body visibly unfinished for a client that is still there."""
        self._flush()
        # A body that ends with the connection (HTTP/1.0) shows its end only by an RST.
        if self._client is not None and (reset or not self._client.is_framed):
            self._client.reset_on_close()
        # gunicorn takes EPIPE for a client that left: it closes the connection without another byte.
        raise BrokenPipeError(errno.EPIPE, reason)

    def _end_without_client(self) -> NoReturn:
        """End the body of a client that has left; the outcome stays *cancelled*.

        Not by an exception: error trackers and tracing middleware take what ``__next__`` raises for a failure of the app. The
        server writes the end of a chunked body now; the connection is shut down before, so that a client that
        has closed only its own side does not take what it has for the whole.
        """
        if self._client is not None:
            if self._client.is_framed:
                self._client.shut_down()
            else:
                self._client.reset_on_close()
        raise StopIteration

    def _stopped(self) -> ApiError | None:
        """The error of a stream that ``stop_generating`` ended short of its terminal event."""
        is_short = self._context.is_stopped and not self._feed.has_terminal_event
        return STOPPED if is_short else None

    # Closing.

    def close(self) -> None:
        """Release everything. gunicorn calls it however the stream ended; only the first call counts."""
        if self._state is State.CLOSED:
            return
        state, self._state = self._state, State.CLOSED
        try:
            if state is State.ENDED:
                self._flush()
        except OSError:
            # A client that closes right after the terminal event has the whole answer.
            if self._has_unsent_events:
                self._context.outcome = None
            raise
        finally:
            self._release(state)

    def __del__(self) -> None:
        """Close a stream whose body was dropped: a hook or middleware answers with another, or does not pass close() on."""
        # One that could not be made has no state.
        if getattr(self, "_state", State.CLOSED) is not State.CLOSED:
            # Not here, where the interpreter may be anywhere: closing may block.
            gevent.spawn(self.close)

    def _release(self, state: State) -> None:
        # First of all: the socket lives on for the connection's next request.
        if self._client is not None:
            registry.disconnect_watcher().forget(self._client.fd, self._handle)
            self._client.release()
        registry.ticker().remove(self._handle)
        self._feed.stop()
        if self._writer is not None:
            self._writer.let_go()
        callbacks = self._close_callbacks
        if state is State.NEW:
            self._account.discard()
        elif self._ends_cancelled():
            callbacks = [self._on_disconnect, *callbacks] if self._on_disconnect else callbacks
        for callback in callbacks:
            try:
                callback()
            except Exception:
                # gunicorn would log it without the request's id.
                logger.exception("closing failed request_id=%s", self._context.request_id)

    def _ends_cancelled(self) -> bool:
        """Report the end of the stream. Returns whether it was cancelled."""
        is_cancelled = self._context.outcome is None
        if is_cancelled:
            self._context.outcome = Outcome.CANCELLED
        self._report_end()
        return is_cancelled

    def _report_end(self) -> None:
        departure = self._departure
        if departure is not None and self._context.outcome is Outcome.CANCELLED:
            registry.stats().releases.add(time.monotonic() - departure.at)
        self._account.close(
            self._handle,
            "stream ended",
            events=self._feed.event_count,
            reason=None if departure is None else departure.reason,
        )

    # The event loop and the ticker's greenlet call these. They wake the request greenlet, which looks for itself.

    def _on_events(self, events: bytes) -> bool:
        """Write events that come while the request greenlet waits."""
        assert self._writer is not None
        now = time.monotonic()
        timers = self._timers
        timers.written_at = now
        if holds_event(events):
            timers.event_at = now
        self._account.written.add_events(events, now)
        try:
            return self._writer.write_now(events)
        except OSError:
            self._leave("the client disconnected")
            return False

    def on_disconnect(self) -> None:
        self._leave("the client disconnected")

    def on_drain(self) -> None:
        self._drain_error = draining()
        if self._timers.write_is_slow(time.monotonic()):
            self._leave("the worker ends and the client reads too slowly to be told")
        self._feed.wake()

    def on_replaced(self) -> None:
        """The connection serves another stream: this one was not closed, against PEP 3333."""
        self.close()

    def on_tick(self, now: float) -> float:
        timers = self._timers
        self._account.report_progress(self._feed.event_count)
        if self._departure is not None and now - self._departure.at > _CLOSE_TIMEOUT_SECONDS:
            # Middleware that does not pass close() on (PEP 3333 says it must) would leak the stream. Not closed here: the
            # ticker is iterating over its streams, and a callback may block.
            gevent.spawn(self.close)
        if timers.is_writing and self._client is not None:
            client = self._client
            if timers.check_write(now, client.unsent_bytes(), client.taken_bytes()):
                self._leave("the client stopped reading")
            elif timers.deadline_is_over(now) and timers.write_is_slow(now):
                self._leave("the deadline is over and the client reads too slowly to be told")
            timers.event_at = now  # What upstream has to say meanwhile waits for the client.
        elif timers.anything_is_due(now):
            self._feed.wake()
        return timers.next_look(now)

    def _leave(self, reason: str) -> None:
        if self._departure is None:
            self._departure = Departure(reason, time.monotonic())
        if self._timers.is_writing and self._client is not None:
            self._client.shut_down()
        self._feed.wake()
