"""A reader's place in a stream."""

from collections.abc import Callable

from wsgi.journal.window import Window

_TAKE_BYTES = 256 * 1024


class WindowFollower:
    """Takes events from a window, which others add to.

    after: the number of the last event that the reader has
    on_close: called when the reader leaves
    """

    __slots__ = ("_next_id", "_on_close", "_window", "event_count")

    def __init__(
        self, window: Window, after: int, wake: Callable[[], None], on_close: Callable[[], None]
    ) -> None:
        self._window = window
        self._next_id = after + 1
        self._on_close = on_close
        self.event_count = 0
        window.join(self, wake)

    @property
    def has_events(self) -> bool:
        return self._next_id <= self._window.last_id

    @property
    def is_waiting(self) -> bool:
        return self._next_id > self._window.last_id and not self._window.is_finished

    @property
    def is_finished(self) -> bool:
        return self._window.is_finished and self._next_id > self._window.last_id

    def take(self) -> bytes:
        window = self._window
        # Nearly always a reader keeps up, and takes the one event that is new.
        if window.first_id <= self._next_id == window.last_id:
            self._next_id += 1
            self.event_count += 1
            return window.last_event
        if self._next_id > window.last_id:
            return b""
        if self._next_id < window.first_id:
            return self._reset_to(window.first_id) + self._read(window)
        return self._read(window)

    def close(self) -> None:
        if self._window.leave(self):
            self._on_close()

    def _read(self, window: Window) -> bytes:
        events, count = window.read(self._next_id, _TAKE_BYTES)
        self._next_id += count
        self.event_count += count
        return events

    def _reset_to(self, oldest_id: int) -> bytes:
        """History is gone: the reader goes on with this event, and is told so."""
        self._next_id = oldest_id
        # Without an id: a client that breaks off here asks again for what it was told is gone.
        return b'event: reset\ndata: {"oldest": %d}\n\n' % oldest_id
