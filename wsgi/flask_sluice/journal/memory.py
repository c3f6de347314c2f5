"""Streams that are kept in the memory of the process that produces them."""

import os
import time
from collections.abc import Callable

from flask_sluice.journal.budget import Budget, Share
from flask_sluice.journal.deadlines import StreamDeadlines
from flask_sluice.journal.errors import InvalidEventIdError, UnknownStreamError
from flask_sluice.journal.per_process import PerProcessJournal
from flask_sluice.journal.protocol import About, Description, Limits
from flask_sluice.journal.reading.follower import WindowFollower
from flask_sluice.journal.stop_request import StopRequest
from flask_sluice.journal.turns import Turns, turns_of_process
from flask_sluice.journal.window import Window, numbered

_IS_FINISHED = "nothing may follow the terminal event"


class MemoryStore:
    """The kept streams of one process. See ``Journal``.

    now: returns monotonic seconds
    """

    is_shared = False

    def __init__(
        self, limits: Limits, turns: Turns, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.turns = turns
        self._limits = limits
        self._now = now
        self._streams: dict[str, MemoryRecorder] = {}
        self._newest_of_name: dict[str, str] = {}
        # For a running stream, when it counts as abandoned; for a finished one, when it is forgotten.
        self._deadlines: StreamDeadlines[str] = StreamDeadlines()
        self._deadline_is_new = turns.new_flag()
        self._has_started = False
        self._is_closed = False
        self._pid = os.getpid()
        self._budget = Budget(limits)

    def create(
        self, stream_id: str, on_stop: Callable[[str], None], about: About
    ) -> "MemoryRecorder":
        budget = self._budget
        self._make_room(lambda: budget.has_room_for_stream)
        recorder = MemoryRecorder(self, stream_id, on_stop, about, budget.add_stream(about.owner))
        self._streams[stream_id] = recorder
        for name in about.names:
            self._newest_of_name[name] = stream_id
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

    def describe(self, stream_id: str) -> Description:
        recorder = self._stream(stream_id)
        window, expires_at = recorder.window, recorder.expires_at
        terminal_event = window.events[-1] if window.is_finished else None
        return Description(recorder.about, window.last_id, terminal_event, expires_at)

    def find(self, name: str) -> str | None:
        return self._newest_of_name.get(name)

    def stop(self, stream_id: str) -> None:
        self._stream(stream_id).stop_request.give("stopped")

    def problem(self) -> str | None:
        return None

    def check_settings(self) -> None:
        """There are none."""

    def close(self) -> None:
        self._is_closed = True
        # In a child process another thread of the parent's may hold the flag's lock, and never give it back.
        if os.getpid() == self._pid:
            self._deadline_is_new.set()

    def tick(self) -> None:
        """Forget finished streams and give up abandoned ones, where it is time."""
        for stream_id in self._deadlines.pop_due(self._now()):
            recorder = self._streams[stream_id]
            if recorder.window.is_finished:
                self._forget(recorder)
            else:
                recorder.stop_request.give("abandoned")

    # For the recorders.

    def count(self, window: Window, share: Share, counted_bytes: int) -> int:
        """Count the bytes of a stream, and drop events that may not be kept. Return how many bytes it has now.

        counted_bytes: how many of this stream's were counted before
        """
        limits, budget = self._limits, self._budget
        added = window.byte_count - counted_bytes
        if window.byte_count > limits.history_bytes or not budget.has_room(added):
            self._make_room(lambda: budget.has_room(added))
            window.trim(budget.max_history_bytes(counted_bytes, added))
            added = window.byte_count - counted_bytes
        budget.count(share, added)
        return window.byte_count

    def begin_to_forget(self, recorder: "MemoryRecorder") -> None:
        self._budget.end_stream(recorder.share, recorder.stream_id)
        recorder.expires_at = time.time() + self._limits.history_seconds
        self._set_deadline(recorder.stream_id, self._limits.history_seconds)

    def _make_room(self, is_enough: Callable[[], bool]) -> None:
        """Forget finished streams, as far as there are any, until it is enough.

        A reader that is still reading one is told by a reset that events are gone, and gets the end.
        """
        while not is_enough() and (stream_id := self._budget.first_to_go()) is not None:
            recorder = self._streams[stream_id]
            self._deadlines.clear(stream_id)
            self._forget(recorder)
            recorder.window.trim(0)

    def _forget(self, recorder: "MemoryRecorder") -> None:
        del self._streams[recorder.stream_id]
        for name in recorder.about.names:
            if self._newest_of_name.get(name) == recorder.stream_id:
                del self._newest_of_name[name]
        self._budget.forget_stream(recorder.share, recorder.stream_id, recorder.window.byte_count)

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
        if not self._has_started:
            self._has_started = True
            self.turns.start(self._run)

    def _run(self) -> None:
        # A fork copies a greenlet, too, and the child must not act on its parent's streams.
        with self.turns:
            while not self._is_closed and os.getpid() == self._pid:
                due = self._deadlines.next_due
                self._deadline_is_new.clear()
                seconds = None if due is None else max(0.0, due - self._now())
                self.turns.wait(self._deadline_is_new, seconds)
                self.tick()


class MemoryJournal(PerProcessJournal[MemoryStore]):
    """See ``Journal``. Keeps nothing of what another process produces, even if that is its parent."""

    is_shared = False

    def __init__(self, limits: Limits) -> None:
        super().__init__(lambda: MemoryStore(limits, turns_of_process()))


class MemoryRecorder:
    """See ``Recorder``."""

    has_room = True
    is_stored = True

    __slots__ = (
        "_counted_bytes",
        "_store",
        "about",
        "expires_at",
        "share",
        "stop_request",
        "stream_id",
        "window",
    )

    def __init__(
        self,
        store: MemoryStore,
        stream_id: str,
        on_stop: Callable[[str], None],
        about: About,
        share: Share,
    ) -> None:
        self.about = about
        self.expires_at: float | None = None
        """In seconds since 1970; None while the stream runs."""
        self._store = store
        self.stream_id = stream_id
        self.share = share
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
        window.append(numbered(window.last_id + 1, event))
        window.wake()
        self._counted_bytes = self._store.count(window, self.share, self._counted_bytes)

    def finish(self, event: bytes) -> None:
        window = self.window
        if window.is_finished:
            raise RuntimeError(_IS_FINISHED)
        window.finish(event)
        self._counted_bytes = self._store.count(window, self.share, self._counted_bytes)
        self.stop_request.withdraw()
        self._store.begin_to_forget(self)
        window.wake()
