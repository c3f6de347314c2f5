"""The body of a response on a server whose requests have threads."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import NoReturn, TypeVar

from flask_sluice.observe.outcome import Outcome
from flask_sluice.observe.tracing.spans import Span
from flask_sluice.stream.accounting import StreamAccount
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import STOPPED, ApiError, draining, was_ended_by_app
from flask_sluice.stream.feeds.encode_items import is_foreseen
from flask_sluice.stream.feeds.feed import holds_event
from flask_sluice.stream.options import StreamOptions
from flask_sluice.stream.threads.client import Client
from flask_sluice.stream.threads.open_streams import open_streams
from flask_sluice.stream.threads.thread_feed import ThreadFeed
from flask_sluice.stream.timers import Timers

C = TypeVar("C", bound=Callable[[], object])

logger = logging.getLogger("sluice.stream")


class ThreadStream:
    """The response body: an iterable of bytes with ``close()``, as PEP 3333 requires it.

    The request's thread, in ``__next__``, waits for an event, the end, a timer or the client's leaving, whichever comes first.

    feed: gives the events
    context: what the stream shares with the feed's generator
    render_error: makes the error event of a stream that fails after its headers
    client: tells when the client leaves
    options: keep-alive, deadlines
    preamble: written at once, before the first event
    on_disconnect: called after the client has left before the end
    propagates: whether an exception of the generator, but for an ApiError, is raised here, as a test wants to see it
    """

    def __init__(
        self,
        feed: ThreadFeed,
        *,
        context: StreamContext,
        render_error: Callable[[Exception], bytes],
        client: Client,
        options: StreamOptions,
        preamble: bytes | None,
        on_disconnect: Callable[[], object] | None,
        propagates: bool,
    ) -> None:
        context.use_threads()
        self._feed = feed
        self._context = context
        self._render_error = render_error
        self._client = client
        self._preamble = preamble
        self._on_disconnect = on_disconnect
        self._propagates = propagates
        self._account = StreamAccount(context)
        self._timers = Timers(options, time.monotonic())
        self._close_callbacks: list[Callable[[], object]] = []
        self._is_over = False
        """Whether the last bytes have been handed to the server."""
        self._is_writing_events = False
        """Whether the server has events that it has not written yet."""
        self._thread_id = threading.get_ident()
        self._has_place = False
        """Whether it counts among the open streams."""
        self._is_closed = False

    @property
    def request_id(self) -> str:
        return self._context.request_id

    @property
    def outcome(self) -> Outcome | None:
        """How the stream ended; None while it runs."""
        return self._context.outcome

    @property
    def error(self) -> Exception | None:
        """What the client was told of, or the test that reads the stream."""
        return self._account.error

    @property
    def is_generator_done(self) -> bool:
        """Whether the generator has ended or was closed."""
        return self._feed.is_finished

    def mark_left(self) -> None:
        """The client has left. Any thread may call this."""
        self._feed.mark_left()

    def end_with_stream(self, spans: list[Span]) -> None:
        """Have the request's spans end when the stream does."""
        self._account.spans = spans

    def call_on_close(self, callback: C) -> C:
        """Have ``callback`` called when the stream is closed. Returns it, as Werkzeug's method does."""
        self._close_callbacks.append(callback)
        return callback

    def _start(self, commit_seconds: float | None) -> None:
        if self._context.is_taken:
            raise RuntimeError("a StreamContext is for one stream; make another")
        self._context.is_taken = True
        now = time.monotonic()
        self._timers.begin(now, commit_seconds)
        with open_streams().lock:
            self._account.open(self._feed, now)
        self._has_place = True
        self._client.watch(self._feed.mark_left, self._timers)
        self._feed.start()

    def wait_for_first_event(self, commit_seconds: float | None) -> None:
        """Start the stream before its headers are sent, so that an early failure keeps its true status.

        Returns when there is something to send, or after ``commit_seconds`` of silence. Raises what the feed failed with
        before its first event; the stream is closed then.
        """
        may_go_on = False
        try:
            self._start(commit_seconds)
            error = self._wait_for_first_event()
            if error is not None:
                self._account.error = error
                self._context.outcome = Outcome.ERROR
                raise error
            may_go_on = True
        finally:
            if not may_go_on:
                self.close()

    def _wait_for_first_event(self) -> Exception | None:
        feed, timers = self._feed, self._timers
        feed.ask()
        with feed.change:
            while not (feed.events or self._client_has_left()):
                if feed.is_finished:
                    return feed.error
                now = time.monotonic()
                if (error := self._overdue(now)) is not None:
                    return error
                if timers.commit_is_due(now):
                    self._context.is_committed = True
                    return None
                self._wait(now)
        return None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._is_over or self._is_closed:
            self._close_in_step()
            raise StopIteration
        if not self._has_place:
            self._start(None)
        if self._preamble:
            preamble, self._preamble = self._preamble, None
            return self._write(preamble)
        events, error = self._wait_for_events()
        if events:
            return self._write_events(events)
        if error is not None:
            return self._fail(error)
        if self._is_over:
            self._end()
        self._account.written.keepalive_count += 1
        return self._write(self._timers.options.keepalive)

    def _wait_for_events(self) -> tuple[bytes, Exception | None]:
        """Return events, or an error; nothing of both at the end (``_is_over``), and when a keep-alive is due."""
        feed, timers = self._feed, self._timers
        timers.is_writing = self._is_writing_events = False
        feed.ask()
        with feed.change:
            while not (self._is_closed or self._has_left_before_the_end()):
                if feed.events:
                    return feed.take(), None
                now = time.monotonic()
                self._is_over, error = self._ending(now)
                if self._is_over or timers.keepalive_is_due(now):
                    return b"", error
                self._wait(now)
            self._is_over = True
            return b"", None

    def _ending(self, now: float) -> tuple[bool, Exception | None]:
        """Return whether the body, all of whose events are written, ends now; and with which error."""
        feed = self._feed
        if feed.is_finished:
            return True, feed.error or self._stopped()
        if feed.has_left:
            return True, None
        error = self._overdue(now)
        # With the terminal event the client has the whole answer: only the end of the body is late.
        return error is not None, None if feed.has_terminal_event else error

    def _has_left_before_the_end(self) -> bool:
        """Whether the client has left before it had the whole answer. It has that with the terminal event."""
        feed = self._feed
        is_whole = feed.is_finished or feed.has_terminal_event
        return self._client_has_left() and not (is_whole and not feed.events)

    def _overdue(self, now: float) -> ApiError | None:
        """Return the error with which the stream has to end now; None if it may go on."""
        return draining() if self._feed.is_draining else self._timers.overdue(now)

    def _client_has_left(self) -> bool:
        feed = self._feed
        feed.has_left = feed.has_left or self._client.has_left()
        return feed.has_left

    def _wait(self, now: float) -> None:
        seconds = self._timers.next_look(now) - now
        if self._client.look_seconds is not None:
            seconds = min(seconds, self._client.look_seconds)
        self._feed.change.wait(max(seconds, 0.0))

    def _stopped(self) -> ApiError | None:
        is_short = self._context.is_stopped and not self._feed.has_terminal_event
        return STOPPED if is_short else None

    def _write_events(self, events: bytes) -> bytes:
        self._is_writing_events = True
        now = time.monotonic()
        self._timers.write_begins(now)
        if holds_event(events):
            self._timers.event_at = now
        self._account.written.add_events(events, now)
        return events

    def _write(self, data: bytes) -> bytes:
        self._timers.write_begins(time.monotonic())
        self._account.written.add_other(data)
        return data

    def _fail(self, error: Exception) -> bytes:
        """Return the one error event with which the body ends."""
        self._account.error = error
        self._context.outcome = Outcome.CANCELLED if error is STOPPED else Outcome.ERROR
        if self._propagates and error is self._feed.error and not is_foreseen(error):
            # A test client does not close a response whose body raises.
            self.close()
            raise error
        self._account.tell(error)
        return self._write(self._render_error(error))

    def _end(self) -> NoReturn:
        if self._is_closed:
            raise StopIteration
        if self._has_left_before_the_end():
            self._client.cut()
        else:
            self._complete()
        self._close_in_step()
        raise StopIteration

    def _complete(self) -> None:
        """The client has the whole answer."""
        context = self._context
        told = context.told_error
        if told is not None:
            self._account.error = told
            context.outcome = Outcome.CANCELLED if was_ended_by_app(told) else Outcome.ERROR
        elif context.failure is not None:
            context.outcome = Outcome.ERROR
        else:
            context.outcome = Outcome.CANCELLED if context.is_stopped else Outcome.COMPLETE

    def _close_in_step(self) -> None:
        """Close at the end, as a server does at once: a test may keep the response, and with it Flask's contexts, for long."""
        if self._feed.is_in_step:
            self.close()

    def close(self) -> None:
        """Release everything. The server calls it however the stream ended; only the first call counts."""
        with self._feed.change:
            if self._is_closed:
                return
            self._is_closed = True
        # First of all: the socket lives on for the connection's next request.
        self._client.forget()
        self._client.close()
        feed = self._feed
        are_all_sent = not (self._is_writing_events or feed.events)
        if self._context.outcome is None and feed.has_terminal_event and are_all_sent:
            # A keep-alive has failed while the generator saved its answer.
            self._complete()
        try:
            feed.close()
        finally:
            if self._has_place:
                self._report_end()
            else:
                self._account.discard()
                self._call_back(self._close_callbacks)

    def __del__(self) -> None:
        """Close a stream whose body was dropped: a hook or middleware answers with another, or does not pass close() on."""
        # One that could not be made is closed. At the interpreter's exit the process gives everything back, and no thread begins.
        if getattr(self, "_is_closed", True) or sys.is_finalizing():
            return
        if self._feed.keeps_flask_context and self._thread_id == threading.get_ident():
            # Flask's contexts can be popped only here.
            self.close()
        else:
            # Not here: the garbage collector may call this while any lock is held, and closing may block.
            threading.Thread(target=self.close, name="sluice-close", daemon=True).start()

    def _report_end(self) -> None:
        is_cancelled = self._context.outcome is None
        if is_cancelled:
            self._context.outcome = Outcome.CANCELLED
        with open_streams().lock:
            end = self._account.settle(
                self._feed,
                events=self._feed.event_count,
                reason=self._client.left_because if is_cancelled else None,
            )
        # It may block, and would hold up all other streams.
        self._account.report(end, "stream ended")
        callbacks = self._close_callbacks
        if is_cancelled and self._on_disconnect is not None:
            callbacks = [self._on_disconnect, *callbacks]
        self._call_back(callbacks)

    def _call_back(self, callbacks: list[Callable[[], object]]) -> None:
        for callback in callbacks:
            try:
                callback()
            except Exception:
                logger.exception("closing failed request_id=%s", self._context.request_id)
