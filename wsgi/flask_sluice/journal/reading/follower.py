"""A reader's position in a window."""

import logging
from collections.abc import Callable

from flask_sluice.journal.window import Window
from flask_sluice.stream.errors import ApiError

logger = logging.getLogger("sluice.journal")

_TAKE_BYTES = 256 * 1024


class WindowFollower:
    """Takes events from a window, to which others add. See ``Follower``.

    after: the number of the last event that the reader has
    wake: called when there is something to take
    on_close: called when the reader leaves
    """

    error: ApiError | None = None
    # A client without an id begins with the first event.
    new_id = b""

    __slots__ = (
        "_next_id",
        "_on_close",
        "_wake",
        "_window",
        "event_count",
        "forward",
        "was_reset",
    )

    def __init__(
        self, window: Window, after: int, wake: Callable[[], None], on_close: Callable[[], None]
    ) -> None:
        self._window = window
        self._next_id = after + 1
        self._wake = wake
        self._on_close = on_close
        self.event_count = 0
        self.was_reset = False
        self.forward: Callable[[bytes], bool] | None = None
        self._go_back_to_end()
        window.join(self)

    @property
    def has_events(self) -> bool:
        return self._next_id <= self._window.last_id

    @property
    def is_finished(self) -> bool:
        return self._window.is_finished and self._next_id > self._window.last_id

    @property
    def terminal_event(self) -> bytes:
        return self._window.events[-1]

    def on_events(self) -> None:
        """Pass the new event on, or wake the reader. Called by the window; must not block."""
        window, forward = self._window, self.forward
        try:
            # Nearly always the reader waits, has kept up, and is given the one new event without a switch to its
            # greenlet. It takes the terminal event itself, to send it together with the end of the body.
            if (
                forward is not None
                and window.first_id <= self._next_id == window.last_id
                and not window.is_finished
            ):
                wants_more = forward(window.events[-1])
                # Only now: if ``forward`` raises, the reader is still to get the event.
                self._next_id += 1
                self.event_count += 1
                if wants_more:
                    return
                # A part of the event is still to be sent, and the next one must not overtake it.
                self.forward = None
            self._go_back_to_end()
            self._wake()
        except Exception:
            # A defect in one reader must not stop the producer and the other readers.
            logger.exception("waking a reader failed")

    def take(self) -> bytes:
        window = self._window
        if self._next_id > window.last_id:
            return b""
        if self._next_id < window.first_id:
            return self._reset_to(window.first_id) + self._read(window)
        return self._read(window)

    def close(self) -> None:
        if self._window.leave(self):
            self._on_close()

    def _go_back_to_end(self) -> None:
        """Have a reader that has more events than the stream had at its end take that end.

        The store may have lost the last events, and with them the producer's own end, after readers had them.
        """
        window = self._window
        # A reader that has taken the end is at the number after it.
        if window.is_finished and self._next_id > window.last_id + 1:
            self._next_id = window.last_id

    def _read(self, window: Window) -> bytes:
        events, count = window.read(self._next_id, _TAKE_BYTES)
        self._next_id += count
        self.event_count += count
        return events

    def _reset_to(self, oldest_id: int) -> bytes:
        """Go on with this event, since those before it are gone; return what tells the reader so."""
        self._next_id = oldest_id
        self.was_reset = True
        # Without an id: a client that disconnects here asks again for the events that are gone, and is told again.
        return b'event: reset\ndata: {"oldest": %d}\n\n' % oldest_id
