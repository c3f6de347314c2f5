"""A generator becomes the body of a response."""

import errno
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import NoReturn

from wsgi.errors import ApiError
from wsgi.stream import worker
from wsgi.stream.channel import Channel
from wsgi.stream.client_socket import ClientSocket
from wsgi.stream.context import Outcome, StreamContext
from wsgi.stream.inflight import InflightGuard
from wsgi.stream.options import StreamOptions
from wsgi.stream.producer import Producer, StreamItem
from wsgi.stream.timers import Timers

logger = logging.getLogger("sluice.stream")

# How a blank line ends, after a line that ended with LF, CR or CRLF.
_BLANK_LINES = (b"\n\n", b"\n\r", b"\n\r\n", b"\r\r", b"\r\r\n")


class EventStream:
    """The response body: an iterable of bytes with ``close()``, as PEP 3333 wants it.

    A producer greenlet runs the generator and puts encoded events into a channel. The request greenlet,
    in ``__next__``, waits on that channel alone: an event, the end, a timer, the client's leaving all
    wake it there, and it decides what comes next. It is the only one that writes, nothing is ever raised
    into it from outside, and however a stream ends, its ``close()`` lets go of everything.

    items: yields Event, Annotated, or bytes that are events already
    context: what the generator and the stream know of each other
    render_error: makes the one error event of a stream that fails after its headers
    client: the connection; None where there is none to watch, as in a test client
    preamble: written at once, before the first event
    on_disconnect: called after the client has left before the end
    """

    def __init__(
        self,
        items: Iterable[StreamItem],
        *,
        context: StreamContext,
        render_error: Callable[[Exception], bytes],
        client: ClientSocket | None,
        options: StreamOptions,
        preamble: bytes | None = None,
        on_disconnect: Callable[[], object] | None = None,
    ) -> None:
        self._context = context
        self._guard: InflightGuard | None = None
        self._render_error = render_error
        self._client = client
        self._options = options
        self._preamble = preamble
        self._on_disconnect = on_disconnect
        self._channel = Channel(options.channel_size)
        self._producer = Producer(items, self._channel, context)
        self._timers = Timers(options, time.monotonic())
        self._left: str | None = None
        """Why there is no client any more."""
        self._last_bytes = b"\n\n"
        """Of the events written; they tell whether the last is whole."""
        self._is_over = False
        self._is_closed = False
        self._bytes_written = 0
        self._first_event_at: float | None = None

    # The request greenlet.

    def start(self, commit_seconds: float | None = None) -> None:
        """Starts the generator and the timers; without it, the first ``__next__`` does.

        Raises TooManyStreamsError if the worker has no place for another stream.
        """
        self._guard = worker.inflight().enter()
        self._timers = Timers(self._options, time.monotonic(), commit_seconds)
        if self._client is not None:
            worker.disconnects().watch(self._client.fd, self)
        worker.ticker().add(self, self._timers.next_look(self._timers.started_at))
        self._producer.start()

    def wait_for_first_event(self, commit_seconds: float | None) -> None:
        """Starts the stream before its headers are sent, so that an early failure keeps its true status.

        Returns when there is something to send: the first event, the end, or, after ``commit_seconds``
        of silence, a keep-alive (None: never). Returns, too, when the client has left: the body then
        breaks off at once.

        Raises what the generator raised before its first event, and what ``start`` raises; the stream is
        closed then.
        """
        with ExitStack() as on_failure:
            on_failure.callback(self.close)
            self.start(commit_seconds)
            self._wait_for_first_event()
            on_failure.pop_all()

    def _wait_for_first_event(self) -> None:
        channel = self._channel
        while not (channel.has_events or channel.is_finished or self._left):
            now = time.monotonic()
            if self._timers.deadline_is_over(now):
                self._refuse(self._deadline_error())
            if self._timers.commit_is_due(now):
                self._preamble = self._options.keepalive
                return
            channel.wait()
        if channel.error is not None and not channel.has_events:
            self._refuse(channel.error)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self._timers.is_writing = False
        if not self._producer.is_started:
            self.start()
        if self._preamble is not None:
            preamble, self._preamble = self._preamble, None
            return self._write(preamble)
        channel = self._channel
        while not self._is_over:
            events = channel.take()
            if self._left and (events or not channel.is_finished):
                self._cut(self._left)
            if events:
                return self._write_events(events)
            if channel.error is not None:
                return self._fail(channel.error)
            if channel.is_finished:
                self._finish()
                break
            now = time.monotonic()
            if self._timers.deadline_is_over(now):
                return self._fail(self._deadline_error())
            if self._at_boundary() and self._timers.keepalive_is_due(now):
                return self._write(self._options.keepalive)
            channel.wait()
        # gunicorn writes the last chunk now, and that may hang like any write.
        self._timers.write_begins(time.monotonic())
        raise StopIteration

    def close(self) -> None:
        """Lets go of everything. gunicorn calls it however the stream ended; only the first call counts."""
        if self._is_closed:
            return
        self._is_closed = True
        # First of all: the socket lives on for the connection's next request.
        if self._client is not None:
            worker.disconnects().forget(self._client.fd)
        worker.ticker().remove(self)
        self._producer.stop()
        if self._guard is None:
            return  # Never started, as for HEAD.
        is_cancelled = self._context.outcome is None
        if is_cancelled:
            self._mark(Outcome.CANCELLED)
        self._guard.release()
        self._log_end()
        if is_cancelled and self._on_disconnect is not None:
            try:
                self._on_disconnect()
            except Exception:
                # Not gunicorn's business: it would log it without the request's id.
                logger.exception("on_disconnect failed request_id=%s", self._context.request_id)

    def _write_events(self, events: bytes) -> bytes:
        if self._first_event_at is None:
            self._first_event_at = time.monotonic()
        # The blank line may come in an item of its own.
        self._last_bytes = events[-3:] if len(events) >= 3 else self._last_bytes[-3:] + events
        return self._write(events)

    def _write(self, data: bytes) -> bytes:
        """gunicorn writes what ``__next__`` returns, until it calls that again."""
        self._timers.write_begins(time.monotonic())
        self._bytes_written += len(data)
        return data

    def _at_boundary(self) -> bool:
        return self._last_bytes.endswith(_BLANK_LINES)

    def _finish(self) -> None:
        """The generator has returned, and all that it yielded is written."""
        context = self._context
        if context.is_cut:
            self._mark(Outcome.ERROR)
            if context.is_reset and self._client is not None:
                self._client.reset_on_close()
            self._cut("the generator cut the stream")
        if context.failure is not None:
            self._mark(Outcome.ERROR)
        else:
            self._mark(Outcome.CANCELLED if context.is_stopped else Outcome.COMPLETE)
        self._is_over = True

    def _fail(self, error: Exception) -> bytes:
        self._mark(Outcome.ERROR)
        if not self._at_boundary():
            self._cut("an error event after half an event would be taken for the rest of it")
        self._is_over = True
        return self._write(self._render_error(error))

    def _refuse(self, error: Exception) -> NoReturn:
        self._mark(Outcome.ERROR)
        raise error

    def _cut(self, reason: str) -> NoReturn:
        # gunicorn takes EPIPE for a client that left: it closes the connection without a word, and the
        # chunked body stays visibly unfinished.
        raise BrokenPipeError(errno.EPIPE, reason)

    def _deadline_error(self) -> ApiError:
        seconds = self._options.deadline_seconds
        return ApiError(504, "stream_timeout", f"the answer took longer than {seconds} seconds")

    def _mark(self, outcome: Outcome) -> None:
        self._context.outcome = outcome
        if self._guard is not None:
            self._guard.mark(outcome)

    def _log_end(self) -> None:
        timers, first = self._timers, self._first_event_at
        logger.info(
            "stream ended request_id=%s outcome=%s events=%d bytes=%d first_event_ms=%s total_ms=%.1f%s",
            self._context.request_id,
            self._context.outcome,
            self._channel.event_count,
            self._bytes_written,
            "-" if first is None else f"{(first - timers.started_at) * 1000:.1f}",
            (time.monotonic() - timers.started_at) * 1000,
            f" reason={self._left!r}" if self._left else "",
        )

    # The hub and the ticker's greenlet: they wake the request greenlet, which looks for itself.

    def on_disconnect(self) -> None:
        self._leave("the client disconnected")

    def on_tick(self, now: float) -> float:
        timers = self._timers
        if timers.is_writing and self._client is not None:
            if timers.write_hangs(now, self._client.unsent_bytes()):
                self._leave("the client stopped reading")
        elif timers.anything_is_due(now):
            self._channel.wake()
        return timers.next_look(now)

    def _leave(self, reason: str) -> None:
        self._left = self._left or reason
        if self._timers.is_writing and self._client is not None:
            self._client.shut_down()
        self._channel.wake()
