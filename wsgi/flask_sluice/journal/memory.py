"""Streams that are kept in the memory of the one worker there is."""

import time
from collections.abc import Callable

import gevent
from gevent.event import Event as Flag

from flask_sluice.journal.budget import Budget
from flask_sluice.journal.errors import InvalidEventIdError, UnknownStreamError
from flask_sluice.journal.follower import WindowFollower
from flask_sluice.journal.protocol import Limits
from flask_sluice.journal.stop_request import StopRequest
from flask_sluice.journal.window import Window
from flask_sluice.stream.loop.deadlines import Deadlines

_AHEAD_BYTES = 4096
"""What a stream that runs counts more than it has, so that its bytes are not counted event by event."""

_IS_FINISHED = "nothing may follow the terminal event"


class MemoryJournal:
    """See ``Journal``.

    now: monotonic seconds
    """

    is_shared = False

    def __init__(self, limits: Limits, now: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._now = now
        self._streams: dict[str, MemoryRecorder] = {}
        # Of a stream that runs: when it counts as abandoned. Of one that is finished: when it is forgotten.
        self._deadlines: Deadlines[str] = Deadlines()
        self._deadline_is_new = Flag()
        self._greenlet: gevent.Greenlet[..., None] | None = None
        self._is_closed = False
        self._budget = Budget(limits)

    def create(self, stream_id: str, on_stop: Callable[[str], None]) -> "MemoryRecorder":
        self._budget.add_stream()
        recorder = MemoryRecorder(self, stream_id, on_stop)
        self._streams[stream_id] = recorder
        self._begin_to_wait_for_readers(stream_id)
        return recorder

    def follow(self, stream_id: str, after: int, wake: Callable[[], None]) -> WindowFollower:
        window = self._stream(stream_id).window
        if not 0 <= after <= window.last_id:
            raise InvalidEventIdError(window.last_id)
        if not window.is_finished:
            self._deadlines.clear(stream_id)

        def on_close() -> None:
            if not (window.is_followed or window.is_finished):
                self._begin_to_wait_for_readers(stream_id)

        return WindowFollower(window, after, wake, on_close)

    def stop(self, stream_id: str) -> None:
        self._stream(stream_id).stop_request.give("stopped")

    def problem(self) -> str | None:
        return None

    def close(self) -> None:
        self._is_closed = True
        self._deadline_is_new.set()

    def tick(self) -> None:
        """Does what is due."""
        for stream_id in self._deadlines.pop_due(self._now()):
            recorder = self._streams[stream_id]
            if recorder.window.is_finished:
                del self._streams[stream_id]
                self._budget.forget_stream(recorder.window.byte_count)
            else:
                recorder.stop_request.give("abandoned")

    # For the recorders.

    def count(self, window: Window, counted_bytes: int, ahead_bytes: int) -> int:
        """Counts the bytes that a stream has, where ``counted_bytes`` were; drops what may not be kept.

        ahead_bytes: that it will have soon, which are counted, too, if there is room. Returns how many are
            counted now
        """
        limits, budget = self._limits, self._budget
        wanted = window.byte_count + ahead_bytes
        if (
            wanted > limits.history_bytes
            or budget.byte_count + wanted - counted_bytes > limits.total_history_bytes
        ):
            added = window.byte_count - counted_bytes
            window.trim(budget.max_history_bytes(counted_bytes, added))
            wanted = window.byte_count
        budget.byte_count += wanted - counted_bytes
        return wanted

    def begin_to_forget(self, stream_id: str) -> None:
        self._set_deadline(stream_id, self._limits.history_seconds)

    def _stream(self, stream_id: str) -> "MemoryRecorder":
        recorder = self._streams.get(stream_id)
        if recorder is None:
            raise UnknownStreamError
        return recorder

    def _begin_to_wait_for_readers(self, stream_id: str) -> None:
        if self._limits.abandon_seconds:
            self._set_deadline(stream_id, self._limits.abandon_seconds)

    def _set_deadline(self, stream_id: str, seconds: float) -> None:
        self._deadlines.set(stream_id, self._now() + seconds)
        self._deadline_is_new.set()
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)

    def _run(self) -> None:
        while not self._is_closed:
            due = self._deadlines.next_due
            self._deadline_is_new.clear()
            self._deadline_is_new.wait(None if due is None else max(0.0, due - self._now()))
            self.tick()


class MemoryRecorder:
    """See ``Recorder``."""

    __slots__ = ("_counted_bytes", "_journal", "_stream_id", "stop_request", "window")

    def __init__(
        self, journal: MemoryJournal, stream_id: str, on_stop: Callable[[str], None]
    ) -> None:
        self._journal = journal
        self._stream_id = stream_id
        self.window = Window()
        self._counted_bytes = 0
        self.stop_request = StopRequest(on_stop)

    @property
    def last_id(self) -> int:
        return self.window.last_id

    def append(self, event: bytes) -> None:
        window = self.window
        if window.is_finished:
            raise RuntimeError(_IS_FINISHED)
        window.add(event)
        # Nearly always there is room: 0.1 us less than to have each event counted.
        if window.byte_count > self._counted_bytes:
            self._counted_bytes = self._journal.count(window, self._counted_bytes, _AHEAD_BYTES)

    def finish(self, event: bytes) -> None:
        window = self.window
        if window.is_finished:
            raise RuntimeError(_IS_FINISHED)
        window.finish(event)
        self._counted_bytes = self._journal.count(window, self._counted_bytes, 0)
        self.stop_request.withdraw()
        self._journal.begin_to_forget(self._stream_id)
        window.wake()
