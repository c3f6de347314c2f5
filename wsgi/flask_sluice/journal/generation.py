"""An answer that is generated into a journal, whether or not anybody reads it."""

import logging
import time
from collections.abc import Callable
from typing import Protocol

from flask_sluice.journal import Journal, JournalLostError, Recorder
from flask_sluice.observe.outcome import Outcome
from flask_sluice.stream import registry
from flask_sluice.stream.accounting import StreamAccount
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError, CutError, PlainAnswer, as_api_error, draining
from flask_sluice.stream.feeds.feed import Feed
from flask_sluice.stream.headers_and_errors import error_for_event_source
from flask_sluice.stream.options import StreamOptions
from flask_sluice.stream.timers import Timers

logger = logging.getLogger("sluice.stream")


class AnswerReader(Protocol):
    """Takes an answer's events apart, and judges whether the answer is whole.

    is_over: whether the terminal event, or an error, has come
    error: the error that has come
    """

    is_over: bool
    error: ApiError | None

    def is_chunk(self, events: bytes) -> bool:
        """Whether ``events`` is one event to keep as it is."""

    def read(self, events: bytes) -> list[bytes]:
        """Return the events to keep, each by itself, without ids."""

    @property
    def has_finish_reason(self) -> bool:
        """Whether the answer is whole although no terminal event came."""

    def terminal_event(self) -> bytes:
        """Return the event that ends a whole answer, encoded."""


_TRUNCATED = ApiError(502, "upstream_truncated", "the answer ended without its last event")
_NO_STREAM = ApiError(502, "upstream_invalid", "the answer was no stream")
_STOPPED = ApiError(503, "stopped", "the answer was stopped")
_ABANDONED = ApiError(503, "stopped", "the answer was stopped: nobody was reading it")


class Generation:
    """Takes an answer's events from their feed and appends them to a journal.

    It waits on the feed as an EventStream does; what comes meanwhile is appended from the hub, without a
    switch. It takes a place among the worker's streams.

    on_end: called once, when it is over
    """

    __slots__ = (
        "_account",
        "_answer",
        "_context",
        "_feed",
        "_lost",
        "_on_end",
        "_reason",
        "_recorder",
        "_timers",
    )

    def __init__(
        self,
        feed: Feed,
        context: StreamContext,
        options: StreamOptions,
        answer: AnswerReader,
        on_end: Callable[[], None],
    ) -> None:
        self._feed = feed
        self._context = context
        self._on_end = on_end
        self._answer = answer
        self._account = StreamAccount(context, has_response=False)
        self._timers = Timers(options, time.monotonic())
        self._reason: ApiError | None = None
        self._lost: JournalLostError | None = None
        self._recorder: Recorder | None = None

    def start(self, journal: Journal, stream_id: str) -> None:
        """Raises TooManyStreamsError if the worker has no place for it, and what ``journal.create`` raises."""
        self._timers.begin(time.monotonic(), None)
        self._account.open(self, self._timers.started_at)
        try:
            self._recorder = journal.create(stream_id, self.stop)
        except BaseException:
            self._account.withdraw(self)
            raise
        # A failure from now on is reported in the stream: its URL has been given away.
        self._context.is_committed = True
        registry.ticker().add(self, self._timers.next_look(self._timers.started_at))
        self._feed.start()
        registry.greenlet_pool().start(self._run)

    def stop(self, reason: str) -> None:
        """Ends it with an error event. From any greenlet, or from the hub."""
        if self._reason is None:
            self._reason = _ABANDONED if reason == "abandoned" else _STOPPED
        self._feed.wake()

    def end_for_drain(self) -> None:
        self._reason = self._reason or draining()
        self._feed.wake()

    def on_tick(self, now: float) -> float:
        if self._timers.anything_is_due(now):
            self._feed.wake()
        return self._timers.next_look(now)

    def _run(self) -> None:
        try:
            self._finish(self._record())
        except JournalLostError as error:
            # Its readers have been told by somebody else, or cannot be.
            logger.warning("journal lost request_id=%s: %s", self._context.request_id, error)
            self._account.error = error
            self._context.outcome = Outcome.ERROR
        except Exception as error:
            logger.exception("recording failed request_id=%s", self._context.request_id)
            self._account.error = as_api_error(error)
            self._context.outcome = Outcome.ERROR
        finally:
            self._let_go()

    def _record(self) -> ApiError | None:
        """Returns why the answer is not whole, None if it is."""
        feed = self._feed
        while not self._answer.is_over:
            events = feed.take()
            if events:
                self._append(events)
            if self._lost is not None:
                raise self._lost
            if events:
                continue
            if feed.is_finished:
                break
            error = self._reason or self._timers.overdue(time.monotonic())
            if error is not None:
                return error
            feed.wait(self._append)
        if isinstance(feed.error, PlainAnswer):
            return _NO_STREAM
        if isinstance(feed.error, CutError):
            # A reader's connection is not cut: the error event tells it that the answer is not whole.
            return _TRUNCATED
        if feed.error is not None and not self._answer.is_over:
            return as_api_error(feed.error)
        if self._answer.is_over or self._answer.has_finish_reason:
            return self._answer.error
        return self._reason or _TRUNCATED

    def _append(self, events: bytes) -> bool:
        """Returns whether there is more to come."""
        assert self._recorder is not None
        now = self._timers.event_at = time.monotonic()
        written = self._account.written
        if written.first_event_at is None:
            written.first_event_at = now
        try:
            if self._answer.is_chunk(events):
                self._recorder.append(events)
                return True
            for chunk in self._answer.read(events):
                self._recorder.append(chunk)
        except JournalLostError as error:
            # Perhaps here is the hub, where nobody would see it.
            self._lost = error
        return self._lost is None and not self._answer.is_over

    def _finish(self, error: ApiError | None) -> None:
        assert self._recorder is not None
        self._account.error = error
        if error is None:
            self._recorder.finish(self._answer.terminal_event())
            self._context.outcome = Outcome.COMPLETE
        else:
            self._recorder.finish(error_for_event_source(error))
            stopped = error is self._reason
            self._context.outcome = Outcome.CANCELLED if stopped else Outcome.ERROR

    def _let_go(self) -> None:
        registry.ticker().remove(self)
        self._feed.stop()
        events = 0 if self._recorder is None else self._recorder.last_id
        self._account.close(self, "generation ended", events=events, reason=None)
        self._on_end()
