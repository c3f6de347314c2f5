"""The body of a response that streams."""

import errno
import logging
import time
from collections.abc import Callable, Iterator
from typing import NoReturn, TypeVar

import gevent

from wsgi.errors import ApiError, draining
from wsgi.stream import worker
from wsgi.stream.client_socket import ClientSocket
from wsgi.stream.context import Outcome, StreamContext
from wsgi.stream.direct_writer import DirectWriter
from wsgi.stream.end import StreamEnd
from wsgi.stream.feed import Feed
from wsgi.stream.inflight import InflightGuard
from wsgi.stream.options import StreamOptions
from wsgi.stream.timers import Timers
from wsgi.stream.written import Written

C = TypeVar("C", bound=Callable[[], object])

logger = logging.getLogger("sluice.stream")


_CLOSE_TIMEOUT_SECONDS = 60
_STOPPED = ApiError(503, "stopped", "the answer was stopped")


class EventStream:
    """The response body: an iterable of bytes with ``close()``, as PEP 3333 wants it.

    Events come from a feed. The request greenlet, in ``__next__``, waits on that feed alone: an event, the
    end, a timer, the client's leaving all wake it there, and it decides what comes next. It is the only one
    that writes, nothing is ever raised into it from outside, and however a stream ends, its ``close()``
    lets go of everything.

    feed: where the events come from
    context: what the feed's generator or connection and the stream know of each other
    render_error: makes the one error event of a stream that fails after its headers
    client: the connection; None where there is none to watch, as in a test client
    preamble: written at once, before the first event
    on_disconnect: called after the client has left before the end
    """

    __slots__ = (
        "_client",
        "_close_callbacks",
        "_context",
        "_draining",
        "_error",
        "_feed",
        "_guard",
        "_has_unsent_events",
        "_is_closed",
        "_is_over",
        "_left",
        "_left_at",
        "_on_disconnect",
        "_options",
        "_preamble",
        "_render_error",
        "_timers",
        "_writer",
        "_written",
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
        self._guard: InflightGuard | None = None
        self._render_error = render_error
        self._client = client
        self._writer: DirectWriter | None = None
        self._options = options
        self._preamble = preamble
        self._on_disconnect = on_disconnect
        self._timers = Timers(options, time.monotonic())
        self._left: str | None = None
        """Why there is no client any more."""
        self._left_at: float | None = None
        self._written = Written()
        self._draining: ApiError | None = None
        self._error: Exception | None = None
        """What the client was told of it."""
        self._close_callbacks: list[Callable[[], object]] = []
        self._is_over = False
        self._is_closed = False
        self._has_unsent_events = False

    @property
    def request_id(self) -> str:
        return self._context.request_id

    # The request greenlet.

    def start(self, commit_seconds: float | None = None) -> None:
        """Starts the feed and the timers; without it, the first ``__next__`` does.

        Raises TooManyStreamsError if the worker has no place for another stream.
        """
        if self._context.is_taken:
            raise RuntimeError("a StreamContext is for one stream; make another")
        self._context.is_taken = True
        self._guard = worker.inflight().enter(self)
        worker.tally().begin(self._context)
        self._timers.begin(time.monotonic(), commit_seconds)
        if self._client is not None:
            worker.disconnects().watch(self._client.fd, self)
        worker.ticker().add(self, self._timers.next_look(self._timers.started_at))
        self._feed.start()

    def wait_for_first_event(self, commit_seconds: float | None) -> None:
        """Starts the stream before its headers are sent, so that an early failure keeps its true status.

        Returns when there is something to send: the first event, the end, or, after ``commit_seconds``
        of silence, a keep-alive (None: never). Returns, too, when the client has left: the body then
        breaks off at once.

        Raises what the feed failed with before its first event, and what ``start`` raises; the stream is
        closed then.
        """
        may_go_on = False
        try:
            self.start(commit_seconds)
            self._wait_for_first_event()
            may_go_on = True
        finally:
            if not may_go_on:
                self.close()

    def _wait_for_first_event(self) -> None:
        feed = self._feed
        while not (feed.has_begun or self._left):
            now = time.monotonic()
            error = self._draining or self._timers.overdue(now)
            if error is not None:
                self._refuse(error)
            if self._timers.commit_is_due(now):
                self._context.is_committed = True
                self._preamble = self._options.keepalive
                self._written.keepalive_count += bool(self._preamble)
                return
            feed.wait()
        if feed.error is not None and not feed.has_events:
            self._refuse(feed.error)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        feed = self._feed
        # The last events go out with the end of the body behind them.
        if not feed.is_finished or feed.has_events:
            self._flush()
        self._timers.is_writing = False
        if self._guard is None:
            self.start()
        if self._preamble is not None:
            preamble, self._preamble = self._preamble, None
            return self._write(preamble)
        while not self._is_over:
            events = feed.take()
            if self._left and (events or not (feed.is_finished or feed.has_terminal_event)):
                self._cut(self._left)
            if events:
                return self._write_events(events)
            # Who closes right after the terminal event has the whole answer.
            if feed.is_finished or (self._left and feed.has_terminal_event):
                error = feed.error or self._stopped()
                if error is not None:
                    return self._fail(error)
                self._finish()
                break
            now = time.monotonic()
            error = self._draining or self._timers.overdue(now)
            if error is not None:
                return self._fail(error)
            if self._at_boundary() and self._timers.keepalive_is_due(now):
                self._written.keepalive_count += 1
                return self._write(self._options.keepalive)
            writer = self._writer
            feed.wait(self._forward if writer is not None and writer.may_write_now else None)
            self._flush()
        self._has_unsent_events = self._writer is not None and self._writer.has_unsent
        # gunicorn writes the last chunk now, and that may hang like any write.
        self._timers.write_begins(time.monotonic())
        raise StopIteration

    def write_directly(self, response: object) -> None:
        """``response`` is gunicorn's, and nothing stands between this iterable and it."""
        if DirectWriter.suits(response):
            self._writer = DirectWriter(response)

    def close(self) -> None:
        """Lets go of everything. gunicorn calls it however the stream ended; only the first call counts."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if self._is_over:
                self._flush()
        except OSError:
            # Who closes right after the terminal event has the whole answer.
            if self._has_unsent_events:
                self._context.outcome = None
            raise
        finally:
            self._let_go()

    def _let_go(self) -> None:
        # First of all: the socket lives on for the connection's next request.
        if self._client is not None:
            worker.disconnects().forget(self._client.fd, self)
        worker.ticker().remove(self)
        self._feed.stop()
        if self._writer is not None:
            self._writer.let_go()
        if self._guard is None:
            return  # Never started, as for HEAD.
        is_cancelled = self._context.outcome is None
        if is_cancelled:
            self._mark(Outcome.CANCELLED)
        self._guard.release()
        self._tell_end()
        callbacks = self._close_callbacks
        if is_cancelled and self._on_disconnect is not None:
            callbacks = [self._on_disconnect, *callbacks]
        for callback in callbacks:
            try:
                callback()
            except Exception:
                # Not gunicorn's business: it would log it without the request's id.
                logger.exception("closing failed request_id=%s", self._context.request_id)

    def call_on_close(self, callback: C) -> C:
        """``callback`` is called when a started stream is closed. Returns it, as werkzeug's method does."""
        self._close_callbacks.append(callback)
        return callback

    def _write_events(self, events: bytes) -> bytes:
        self._timers.write_begins(time.monotonic())
        self._note(events)
        return events

    def _forward(self, events: bytes) -> bool:
        """Writes events that come while the request greenlet waits. Runs in the hub."""
        assert self._writer is not None
        now = time.monotonic()
        timers = self._timers
        timers.written_at = timers.event_at = now
        self._written.add_events(events, now)
        try:
            return self._writer.write_now(events)
        except OSError:
            self._leave("the client disconnected")
            return False

    def _note(self, events: bytes) -> None:
        timers = self._timers
        timers.event_at = timers.written_at
        self._written.add_events(events, timers.written_at)

    def _flush(self) -> None:
        if self._writer is None or not self._writer.has_unsent:
            return
        if self._left:
            self._cut(self._left)
        self._timers.write_begins(time.monotonic())
        self._writer.flush()
        self._timers.is_writing = False

    def _write(self, data: bytes) -> bytes:
        """gunicorn writes what ``__next__`` returns, until it calls that again."""
        self._timers.write_begins(time.monotonic())
        self._written.add_other(data)
        return data

    def _at_boundary(self) -> bool:
        return self._feed.is_event_stream and self._written.ends_with_whole_event

    def _finish(self) -> None:
        """The feed has ended without an error, and all that it gave is written."""
        context = self._context
        if context.is_cut:
            self._mark(Outcome.ERROR)
            if context.is_reset and self._client is not None:
                self._client.reset_on_close()
            self._cut("the stream was to be cut")
        if context.failure is not None:
            self._mark(Outcome.ERROR)
        else:
            self._mark(Outcome.CANCELLED if context.is_stopped else Outcome.COMPLETE)
        self._is_over = True

    def _fail(self, error: Exception) -> bytes:
        self._error = error
        self._mark(Outcome.CANCELLED if error is _STOPPED else Outcome.ERROR)
        if not self._at_boundary():
            self._cut("an error event after half an event would be taken for the rest of it")
        self._is_over = True
        return self._write(self._render_error(error))

    def _refuse(self, error: Exception) -> NoReturn:
        self._error = error
        self._mark(Outcome.ERROR)
        raise error

    def _cut(self, reason: str) -> NoReturn:
        if not self._left:
            self._flush()
        # gunicorn takes EPIPE for a client that left: it closes the connection without a word, and the
        # chunked body stays visibly unfinished. One that ends with the connection (HTTP/1.0) needs an RST.
        if self._client is not None and not self._client.is_framed:
            self._client.reset_on_close()
        raise BrokenPipeError(errno.EPIPE, reason)

    def _stopped(self) -> ApiError | None:
        """Ended by ``stop_generating``, short of the terminal event: not to be taken for the whole."""
        is_short = self._context.is_stopped and not self._feed.has_terminal_event
        return _STOPPED if is_short else None

    def _mark(self, outcome: Outcome) -> None:
        self._context.outcome = outcome
        if self._guard is not None:
            self._guard.mark(outcome)

    def _tell_end(self) -> None:
        now, started_at, first = time.monotonic(), self._timers.started_at, None
        if self._written.first_event_at is not None:
            first = self._written.first_event_at - started_at
        end = StreamEnd(
            self._context,
            error=self._error,
            reason=self._left,
            events=self._feed.event_count,
            byte_count=self._written.byte_count,
            keepalives=self._written.keepalive_count,
            first_event_seconds=first,
            total_seconds=now - started_at,
        )
        tally = worker.tally()
        self._tell_progress()
        tally.end(end)
        if self._left_at is not None and self._context.outcome is Outcome.CANCELLED:
            tally.releases.add(now - self._left_at)
        end.log("stream ended")

    def _tell_progress(self) -> None:
        is_streamed = bool(self._context.notes.get("stream", True))
        worker.tally().add_written(self._written, self._feed.event_count, is_streamed=is_streamed)

    # The hub and the ticker's greenlet: they wake the request greenlet, which looks for itself.

    def on_disconnect(self) -> None:
        self._leave("the client disconnected")

    def end_for_drain(self) -> None:
        self._draining = draining()
        if self._timers.write_is_slow(time.monotonic()):
            self._leave("the worker ends and the client reads too slowly to be told")
        self._feed.wake()

    def on_replaced(self) -> None:
        """The connection serves another stream: this one was never closed, against PEP 3333."""
        self.close()

    def on_tick(self, now: float) -> float:
        timers = self._timers
        self._tell_progress()
        if self._left_at is not None and now - self._left_at > _CLOSE_TIMEOUT_SECONDS:
            # Middleware that does not pass close() on (PEP 3333 says it must) would leak it. Not here: the ticker
            # is looking through its streams, and a callback may block.
            gevent.spawn(self.close)
        if timers.is_writing and self._client is not None:
            if timers.write_hangs(now, self._client.unsent_bytes()):
                self._leave("the client stopped reading")
            elif timers.deadline_is_over(now) and timers.write_is_slow(now):
                self._leave("the deadline is over and the client reads too slowly to be told")
            timers.event_at = now  # What upstream has to say meanwhile waits for the client.
        elif timers.anything_is_due(now):
            self._feed.wake()
        return timers.next_look(now)

    def _leave(self, reason: str) -> None:
        if self._left is None:
            self._left = reason
            self._left_at = time.monotonic()
        if self._timers.is_writing and self._client is not None:
            self._client.shut_down()
        self._feed.wake()
