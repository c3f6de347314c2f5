"""An answer that is generated into a journal, whoever reads it."""

import json
import logging
import time
from collections.abc import Callable

from wsgi.engines.chunks import ChunkReader
from wsgi.errors import ApiError, PlainAnswer, as_api_error, draining
from wsgi.journal import Journal, JournalLostError, Recorder
from wsgi.sse import Event
from wsgi.stream import Outcome, StreamContext, StreamOptions, worker
from wsgi.stream.end import StreamEnd
from wsgi.stream.feed import Feed
from wsgi.stream.rendering import error_for_event_source
from wsgi.stream.timers import Timers

logger = logging.getLogger("sluice.stream")

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
        "_chunks",
        "_context",
        "_error",
        "_feed",
        "_first_event_seconds",
        "_guard",
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
        on_end: Callable[[], None],
    ) -> None:
        self._feed = feed
        self._context = context
        self._on_end = on_end
        self._chunks = ChunkReader()
        self._timers = Timers(options, time.monotonic())
        self._reason: ApiError | None = None
        self._lost: JournalLostError | None = None
        self._recorder: Recorder | None = None
        self._error: Exception | None = None
        self._first_event_seconds: float | None = None

    def start(self, journal: Journal, stream_id: str) -> None:
        """Raises TooManyStreamsError if the worker has no place for it, and what ``journal.create`` raises."""
        self._guard = worker.inflight().enter(self)
        try:
            self._recorder = journal.create(stream_id, self.stop)
        finally:
            if self._recorder is None:
                self._guard.release()
        worker.tally().begin(self._context)
        # What fails from now on is told in the stream: its URL has been given away.
        self._context.is_committed = True
        self._timers.begin(time.monotonic(), None)
        worker.ticker().add(self, self._timers.next_look(self._timers.started_at))
        self._feed.start()
        worker.helpers().start(self._run)

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
            self._error = error
            self._context.outcome = Outcome.ERROR
        except Exception as error:
            logger.exception("recording failed request_id=%s", self._context.request_id)
            self._error = as_api_error(error)
            self._context.outcome = Outcome.ERROR
        finally:
            self._let_go()

    def _record(self) -> ApiError | None:
        """Returns why the answer is not whole, None if it is."""
        feed = self._feed
        while not self._chunks.is_over:
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
        if feed.error is not None and not self._chunks.is_over:
            return as_api_error(feed.error)
        if self._chunks.is_over or self._chunks.has_finish_reason:
            return self._chunks.error
        return self._reason or _TRUNCATED

    def _append(self, events: bytes) -> bool:
        """Returns whether there is more to come."""
        assert self._recorder is not None
        now = self._timers.event_at = time.monotonic()
        if self._first_event_seconds is None:
            self._first_event_seconds = now - self._timers.started_at
        try:
            if self._chunks.is_chunk(events):
                self._recorder.append(events)
                return True
            for chunk in self._chunks.read(events):
                self._recorder.append(chunk)
        except JournalLostError as error:
            # Perhaps here is the hub, where nobody would see it.
            self._lost = error
        return self._lost is None and not self._chunks.is_over

    def _finish(self, error: ApiError | None) -> None:
        assert self._recorder is not None
        self._error = error
        if error is None:
            # Not msgspec: it refuses some of what json has read.
            data = json.dumps(self._chunks.end(), separators=(",", ":"))
            self._recorder.finish(Event(data=data, event="done").encode())
            self._context.outcome = Outcome.COMPLETE
        else:
            self._recorder.finish(error_for_event_source(error))
            stopped = error is self._reason
            self._context.outcome = Outcome.CANCELLED if stopped else Outcome.ERROR

    def _let_go(self) -> None:
        worker.ticker().remove(self)
        self._feed.stop()
        self._guard.mark(self._context.outcome or Outcome.ERROR)
        self._guard.release()
        end = StreamEnd(
            self._context,
            error=self._error,
            reason=None,
            events=0 if self._recorder is None else self._recorder.last_id,
            byte_count=None,
            keepalives=0,
            first_event_seconds=self._first_event_seconds,
            total_seconds=time.monotonic() - self._timers.started_at,
        )
        worker.tally().end(end)
        end.log("generation ended")
        self._on_end()
