"""A reader's events on a server with threads. ``JournalFeed`` gives them on gevent."""

from flask_sluice.journal.protocol import Follower
from flask_sluice.journal.reading.reader import Follow, Reader
from flask_sluice.journal.turns import Turns
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.headers_and_errors import RenderError
from flask_sluice.stream.threads.open_streams import open_streams
from flask_sluice.stream.threads.thread_feed import ThreadFeed


class JournalThreadFeed(ThreadFeed):
    """Gives a reader's ThreadStream the events of a follower; see ``ThreadFeed``. May block when it is made.

    Events are taken in the journal's turn, by whichever thread wakes the reader, and wait for the reader's own thread. So
    that no two threads wait for each other, ``change`` may be taken in a turn, and the turn never with ``change`` held.

    turns: the journal's
    follow: begins to read
    retry_ms, context, render_lost: see ``Reader``
    is_in_step: whether a test client reads, which closes the stream at its end

    Raises what ``follow`` raises.
    """

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
        super().__init__(is_in_step=is_in_step)
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

    def close(self) -> None:
        """The reader is gone."""
        if self._reader is not None:
            with self._turns:
                self._reader.follower.close()
        open_streams().discard(self)
