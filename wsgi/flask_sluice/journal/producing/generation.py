"""An answer that is generated into a journal, whether or not it has readers."""

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from flask_sluice.journal.errors import JournalLostError
from flask_sluice.journal.producing.kept_stream import ABANDONED
from flask_sluice.journal.protocol import About, Journal, Recorder, wait_for_room
from flask_sluice.observe.outcome import Outcome
from flask_sluice.stream import registry
from flask_sluice.stream.accounting import StreamAccount
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import STOPPED, ApiError, CutError, PlainAnswer, draining
from flask_sluice.stream.feeds.encode_items import log_unforeseen
from flask_sluice.stream.feeds.feed import Feed
from flask_sluice.stream.headers_and_errors import RenderError
from flask_sluice.stream.loop.give_way import LONGEST_TURN_SECONDS, give_way
from flask_sluice.stream.options import StreamOptions
from flask_sluice.stream.threads.open_streams import open_streams
from flask_sluice.stream.timers import Timers

logger = logging.getLogger("sluice.stream")

_LOOK_SECONDS = 0.01
_STORE_SECONDS = 1.0
_TRUNCATED = ApiError(502, "upstream_truncated", "the answer ended without its last event")
_NO_STREAM = ApiError(502, "upstream_invalid", "the answer was no stream")


class AnswerReader(Protocol):
    """Takes an answer's events apart, and judges whether the answer is whole.

    is_over: whether the terminal event, or an error, has come
    error: the error that has come
    """

    is_over: bool
    error: ApiError | None

    def read(self, events: bytes) -> list[bytes]:
        """Return the events to keep, each by itself, without ids. Must not block."""

    @property
    def has_finish_reason(self) -> bool:
        """Whether the answer is whole although no terminal event came."""

    def terminal_event(self) -> bytes:
        """Return the event that ends a whole answer, encoded."""


class Generation:
    """Takes an answer's events from their feed and appends them to a stream in a journal.

    It takes one of the worker's places for streams. Like an EventStream it waits on the feed alone, in a greenlet of its
    own; events that come during the wait are appended from the hub, without a switch of greenlets.

    feed: gives the answer's events
    context: what the generation shares with the feed's generator or connection
    options: deadlines
    answer: reads the events
    render_error: makes the error event of an answer that fails
    on_end: called once, when a generation that was started is over
    hears_stop: whether the feed has an app's generator, which may listen for a stop and still yield a last event
    """

    is_saving = False

    __slots__ = (
        "_account",
        "_answer",
        "_context",
        "_failure",
        "_feed",
        "_hears_stop",
        "_journal",
        "_kept",
        "_on_end",
        "_recorder",
        "_render_error",
        "_stop_error",
        "_timers",
        "_turns",
    )

    def __init__(
        self,
        feed: Feed,
        context: StreamContext,
        options: StreamOptions,
        answer: AnswerReader,
        *,
        render_error: RenderError,
        on_end: Callable[[], None],
        hears_stop: bool = False,
    ) -> None:
        self._hears_stop = hears_stop
        self._render_error = render_error
        self._feed = feed
        self._context = context
        self._on_end = on_end
        self._answer = answer
        self._kept: deque[bytes] = deque()
        """Events that are still to be appended."""
        self._account = StreamAccount(context, has_response=False)
        self._timers = Timers(options, time.monotonic())
        self._stop_error: ApiError | None = None
        # What went wrong in ``_append``, which may run on the hub, where an exception would be lost.
        self._failure: Exception | None = None
        self._recorder: Recorder | None = None

    def start(self, journal: Journal, stream_id: str, about: About) -> None:
        """Begin the stream, and generate its events in the background. about: its owner and key

        Raises TooManyStreamsError if the worker has no place for it, and what ``journal.create`` raises; then the
        generation has not begun.
        """
        self._timers.begin(time.monotonic(), None)
        self._account.open(self, self._timers.started_at)
        try:
            # Which is released when nothing refers to it any more.
            self._journal = journal
            self._turns = journal.turns
            self._recorder = journal.create(stream_id, self.stop, about)
        except BaseException:
            self._account.withdraw(self)
            raise
        # From now on a failure is reported in the stream, since its URL has been given out.
        self._context.is_committed = True
        # Where gunicorn's own gevent worker ends, nothing else tells the stream.
        open_streams().add(self)
        registry.ticker().add(self, self._timers.next_look(self._timers.started_at))
        self._feed.start()
        registry.greenlet_pool().start(self._run)

    # What ends it early. These must not block; any greenlet or the hub calls them.

    def stop(self, reason: str) -> None:
        """End the stream with an error event, for a reason that the journal gives."""
        self._end_early(ABANDONED if reason == "abandoned" else STOPPED)

    def on_drain(self) -> None:
        self._end_early(draining())

    def on_tick(self, now: float) -> float:
        if self._timers.anything_is_due(now):
            self._feed.wake()
        return self._timers.next_look(now)

    def _end_early(self, error: ApiError) -> None:
        self._stop_error = self._stop_error or error
        self._feed.wake()

    # The greenlet.

    def _run(self) -> None:
        try:
            self._finish(self._record())
        finally:
            registry.ticker().remove(self)
            self._feed.stop()
            events = 0 if self._recorder is None else self._recorder.last_id
            self._account.close(self, "generation ended", events=events, reason=None)
            self._on_end()
            if self._stop_error is not None and self._stop_error.code == draining().code:
                self._wait_until_stored()
            open_streams().discard(self)

    def _wait_until_stored(self) -> None:
        """Let the process that ends wait for the store."""
        recorder, ends_at = self._recorder, time.monotonic() + _STORE_SECONDS
        while recorder is not None and not recorder.is_stored and time.monotonic() < ends_at:
            self._turns.sleep(_LOOK_SECONDS)

    def _record(self) -> Exception | None:
        """Append the answer's events. Return why the answer is not whole, None if it is."""
        try:
            return self._append_all() or self._verdict()
        except JournalLostError as error:
            logger.warning("journal lost request_id=%s: %s", self._context.request_id, error)
            return error
        except Exception as error:
            logger.exception("recording failed request_id=%s", self._context.request_id)
            return error

    def _append_all(self) -> ApiError | None:
        """Append events until the answer is over. Return why it is to end earlier, if it is."""
        feed, recorder = self._feed, self._recorder
        assert recorder is not None
        while self._kept or not self._answer.is_over:
            if not recorder.has_room:
                wait_for_room(recorder, self._turns)
            elif self._kept:
                give_way()
                self._append_kept()
            elif events := feed.take():
                self._append(events)
            elif feed.is_finished:
                break
            else:
                error = self._stop_error or self._timers.overdue(time.monotonic())
                if error is not None and not self._may_hear(error):
                    return error
                feed.wait(self._append)
            if self._failure is not None:
                raise self._failure
        has_returned = self._hears_stop and feed.error is None and not self._answer.is_over
        return self._stop_error if has_returned else None

    def _may_hear(self, error: ApiError) -> bool:
        """Whether the generator ends by itself: it is told of the stop, and listens."""
        if not (self._hears_stop and self._context.listens and error is self._stop_error):
            return False
        # In the background: a callback of the app may block.
        if not self._context.is_stopped:
            self._turns.start(self._context.stop_generating)
        return error.code == STOPPED.code

    def _append(self, events: bytes) -> bool:
        """Append the answer's next events. Return whether more are wanted."""
        recorder = self._recorder
        assert recorder is not None
        try:
            kept = self._answer.read(events)
            if kept:
                now = self._timers.event_at = time.monotonic()
                written = self._account.written
                if written.first_event_at is None:
                    written.first_event_at = now
            if len(kept) == 1 and not self._kept and recorder.has_room:
                recorder.append(kept[0])
            else:
                self._kept += kept
                self._append_kept()
        except Exception as error:  # noqa: BLE001 - raised again by the greenlet
            self._failure = error
            return False
        return recorder.has_room and not (self._kept or self._answer.is_over)

    def _append_kept(self) -> None:
        """Append what is kept, for 5 ms at most: one read may bring hundreds of events, and each is written to all readers."""
        recorder = self._recorder
        assert recorder is not None
        ends_at = time.monotonic() + LONGEST_TURN_SECONDS
        while self._kept and recorder.has_room and time.monotonic() < ends_at:
            recorder.append(self._kept.popleft())

    def _verdict(self) -> Exception | None:
        """Return why the answer that has ended is not whole, None if it is."""
        answer, error = self._answer, self._feed.error
        if not answer.is_over:
            if isinstance(error, PlainAnswer):
                return _NO_STREAM
            # A cut breaks the answer off; the stream of its readers is not cut, but ends with an error event.
            if error is not None and not isinstance(error, CutError):
                log_unforeseen(error, self._context)
                return error
            if not answer.has_finish_reason:
                return self._stop_error or _TRUNCATED
        return answer.error

    def _finish(self, error: Exception | None) -> None:
        """Add the terminal event, and note the outcome."""
        assert self._recorder is not None
        self._account.error = error
        if error is None:
            self._recorder.finish(self._answer.terminal_event())
            self._context.outcome = Outcome.COMPLETE
            return
        was_stopped = error is self._stop_error
        self._context.outcome = Outcome.CANCELLED if was_stopped else Outcome.ERROR
        self._recorder.finish(self._render_error(error))
