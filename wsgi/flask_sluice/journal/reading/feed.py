"""The feed of a stream that reads a journal: first what is stored, then what is still being added."""

from flask_sluice.journal.reading.reader import Follow, Reader
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.feeds.feed import Forward
from flask_sluice.stream.headers_and_errors import RenderError
from flask_sluice.stream.loop.give_way import give_way, loop_is_held
from flask_sluice.stream.loop.signal import Signal


class JournalFeed:
    """Gives a reader's EventStream the events of a follower. May block when it is made.

    follow: begins to read
    retry_ms, context, render_lost: see ``Reader``

    Raises what ``follow`` raises.
    """

    is_event_stream = True
    has_begun = True

    def __init__(
        self,
        follow: Follow,
        retry_ms: int,
        context: StreamContext,
        render_lost: RenderError | None = None,
    ) -> None:
        self._signal = Signal()
        self.wake = self._signal.give
        self._follower = follow(self.wake)
        self._reader = Reader(self._follower, retry_ms, context, render_lost)

    @property
    def has_events(self) -> bool:
        return self._follower.has_events

    @property
    def is_finished(self) -> bool:
        return self._follower.is_finished

    @property
    def error(self) -> ApiError | None:
        return self._follower.error

    @property
    def has_terminal_event(self) -> bool:
        return self._reader.has_terminal_event

    @property
    def event_count(self) -> int:
        return self._follower.event_count

    def start(self) -> None:
        """Do nothing: the stream is followed already, so that an unknown one is answered with 404."""

    def take(self) -> bytes:
        # A long history, and a client that reads as fast as it is written, would leave others no turn.
        if self._follower.has_events and loop_is_held():
            give_way()
        return self._reader.take()

    def wait(self, forward: Forward | None = None) -> None:
        follower = self._follower
        follower.forward = forward if self._reader.may_forward else None
        try:
            self._signal.wait()
        finally:
            follower.forward = None

    def stop(self) -> None:
        self._follower.close()
