"""A reader's events on a server with threads. ``JournalFeed`` gives them on gevent."""

import threading

from flask_sluice.journal.protocol import Follower
from flask_sluice.journal.reading.reader import Follow, Reader
from flask_sluice.journal.turns import Turns
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.headers_and_errors import RenderError
from flask_sluice.stream.threads.open_streams import open_streams


class JournalThreadFeed:
    """Gives a reader's ThreadStream the events of a follower; see ``ThreadFeed``. May block when it is made.

    Events are taken in the journal's turn, by whichever thread wakes the reader, and wait for the reader's own thread. So
    that no two threads wait for each other, ``change`` may be taken in a turn, and the turn never with ``change`` held.

    turns: the journal's
    follow: begins to read
    retry_ms, context, render_lost: see ``Reader``
    is_in_step: whether a test client reads, which closes the stream at its end

    Raises what ``follow`` raises.
    """

    keeps_flask_context = False
    is_saving = False

    def __init__(
        self,
        turns: Turns,
        follow: Follow,
        retry_ms: int,
        context: StreamContext,
        render_lost: RenderError | None = None,
        *,
        is_in_step: bool,
    ) -> None:
        self.change = threading.Condition()
        self.events: list[bytes] = []
        self.event_count = 0
        self.has_terminal_event = False
        self.is_finished = False
        self.error: Exception | None = None
        self.has_left = False
        self.is_draining = False
        self.is_in_step = is_in_step
        self._turns = turns
        self._reader: Reader | None = None
        with turns:
            self._reader = Reader(follow(self._pull), retry_ms, context, render_lost)
            self._pull()

    @property
    def is_over(self) -> bool:
        """Whether there was nothing to read when it was made, and nothing will come."""
        return self.is_finished and not self.events

    def start(self) -> None:
        open_streams().add(self)

    def ask(self) -> None:
        """Say that the reader waits for an event: what it took is written."""
        with self._turns:
            self._pull()

    def take(self) -> bytes:
        """Return all events that wait, b"" if none does. To be called with ``change`` held."""
        events = b"".join(self.events)
        self.events.clear()
        return events

    def _pull(self) -> None:
        """Take what the follower has, unless the last is still to be written. To be called in a turn."""
        if self._reader is None:
            return  # It was woken while it began to follow.
        follower: Follower = self._reader.follower
        with self.change:
            if self.events or self.is_finished:
                return
            if events := self._reader.take():
                self.events.append(events)
            self.event_count = follower.event_count
            self.has_terminal_event = self._reader.has_terminal_event
            if follower.is_finished and not follower.has_events:
                self.is_finished, self.error = True, follower.error
            self.change.notify_all()

    # Any thread may call these.

    def mark_left(self) -> None:
        """The client has left."""
        with self.change:
            self.has_left = True
            self.change.notify_all()

    def on_drain(self) -> None:
        """The process ends, and the stream must end with an error event."""
        with self.change:
            self.is_draining = True
            self.change.notify_all()

    def close(self) -> None:
        """The reader is gone."""
        if self._reader is not None:
            with self._turns:
                self._reader.follower.close()
        open_streams().discard(self)
