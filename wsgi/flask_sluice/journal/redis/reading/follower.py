"""A reader's position in a stream that is kept in Redis."""

import logging
from collections.abc import Callable

from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.reading.follower import WindowFollower
from flask_sluice.journal.redis.servers.client import RETRY_SECONDS
from flask_sluice.journal.turns import Turns
from flask_sluice.journal.window import Window
from flask_sluice.stream.errors import ApiError, as_api_error

logger = logging.getLogger("sluice.journal")

FetchHistory = Callable[[int, int], list[tuple[int, bytes]]]
"""Returns the stored events from one number to another with their numbers, or the first of them. May block.
Raises JournalUnavailableError."""


class RedisFollower(WindowFollower):
    """Takes events that are older than the worker's window from Redis, and then goes on with the window.

    They are fetched in the background while the reader waits, so that the other readers are not delayed.
    """

    __slots__ = (
        "_fetch_history",
        "_history",
        "_is_closed",
        "_is_fetching",
        "_reset",
        "_turns",
        "error",
    )

    def __init__(
        self,
        window: Window,
        after: int,
        wake: Callable[[], None],
        on_close: Callable[[], None],
        *,
        fetch_history: FetchHistory,
        turns: Turns,
    ) -> None:
        super().__init__(window, after, wake, on_close)
        self.error: ApiError | None = None
        self._fetch_history = fetch_history
        self._turns = turns
        self._history = Window()
        self._reset = b""
        self._is_fetching = False
        self._is_closed = False
        self._fetch_if_behind()

    @property
    def has_events(self) -> bool:
        if self._reset or self._next_id <= self._history.last_id:
            return True
        return not self._is_behind and super().has_events

    @property
    def is_finished(self) -> bool:
        return self.error is not None or super().is_finished

    def fail(self, error: ApiError) -> None:
        """Let the reader go after what it has: it may come again when Redis works."""
        self.error = error
        self._wake()

    def on_events(self) -> None:
        if self._reset:
            self.forward = None  # The reset has to come first, and ``take`` returns it.
        super().on_events()

    def take(self) -> bytes:
        reset, self._reset = self._reset, b""
        if self._next_id <= self._history.last_id:
            events = self._read(self._history)
        else:
            # A reader that kept up is behind, too, when the window has just dropped what it would take next.
            events = b"" if self._is_behind else super().take()
        self._fetch_if_behind()
        return reset + events if reset else events

    def close(self) -> None:
        self._is_closed = True
        super().close()

    @property
    def _is_behind(self) -> bool:
        return self._next_id < self._window.first_id

    def _fetch_if_behind(self) -> None:
        needs_more = self._is_behind and self._next_id > self._history.last_id
        if needs_more and not self._is_fetching:
            self._is_fetching = True
            self._turns.start(self._fetch)

    def _fetch(self) -> None:
        with self._turns:
            while not (self._is_closed or self._has_fetched()):
                self._turns.sleep(RETRY_SECONDS)

    def _has_fetched(self) -> bool:
        """Try to fetch events. Returns whether there is no need to try again."""
        last_id = self._window.first_id - 1
        try:
            events = self._fetch_history(self._next_id, last_id)
        except JournalUnavailableError:
            return False
        except Exception as error:
            logger.exception("reading the history of a stream failed")
            self.fail(as_api_error(error))
            return True
        self._take_history(events, last_id)
        self._is_fetching = False
        if not self._is_closed:
            self._wake()
        return True

    def _take_history(self, events: list[tuple[int, bytes]], last_id: int) -> None:
        oldest = events[0][0] if events else last_id + 1
        if oldest > self._next_id:
            self._reset = self._reset_to(oldest)
        self._history = Window(oldest)
        for number, event in events:
            if number != self._history.last_id + 1:
                break  # A gap. The next fetch begins there, and tells the reader.
            self._history.append(event)


class PatientReaders:
    """The readers of a worker, none of which waits for long for a Redis that does not work.

    While this worker cannot reach Redis, or cannot know whether producers live, a reader that gets no event for
    ``seconds`` is told so and let go. The stream itself goes on.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._followers: set[RedisFollower] = set()
        # How many events each had when it was looked at first, and when that was.
        self._waiting: dict[RedisFollower, tuple[int, float]] = {}

    def add(self, follower: RedisFollower) -> None:
        self._followers.add(follower)

    def discard(self, follower: RedisFollower) -> None:
        self._followers.discard(follower)
        self._waiting.pop(follower, None)

    def look(self, now: float, problem: str | None, *, is_well: bool) -> None:
        if is_well:
            self._waiting.clear()
            return
        for follower in list(self._followers):
            count, since = self._waiting.get(follower, (-1, now))
            if follower.has_events or follower.event_count != count:
                self._waiting[follower] = (follower.event_count, now)
            elif now - since >= self._seconds:
                self.discard(follower)
                follower.fail(JournalUnavailableError(problem or "Redis loses keys all the time"))
