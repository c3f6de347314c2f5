"""The streams that this worker produces, and that are kept in Redis."""

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from flask_sluice.journal.budget import Budget, Share
from flask_sluice.journal.errors import JournalLostError
from flask_sluice.journal.protocol import About
from flask_sluice.journal.redis import keys_and_commands
from flask_sluice.journal.redis.keys_and_commands import LastEvent
from flask_sluice.journal.redis.producing.history import History
from flask_sluice.journal.redis.servers.packing import Command
from flask_sluice.journal.stop_request import StopRequest
from flask_sluice.journal.window import Window, numbered
from flask_sluice.stream import registry

if TYPE_CHECKING:
    from flask_sluice.journal.redis.producing.feed import Link

WINDOW_BYTES = 128 * 1024
"""How much of a stream a worker holds: for readers that keep up, and for a Redis that has lost its last second."""

_BATCH_EVENTS = 100
_BATCH_BYTES = 256 * 1024


class Batch(NamedTuple):
    """The next events of a stream that are to be written.

    last_id: the number of the last one
    """

    commands: list[Command]
    last_id: int
    byte_count: int


class RedisRecorder:
    """See ``Recorder``. Events wait here until Redis has them; only then do readers of this worker get them.

    Otherwise a reader could have an event that is lost with this worker, and ask other workers for what follows it.

    key: of the stream in Redis
    about: its owner and key
    share: where the owner's bytes count
    max_queue_bytes: how much may wait; where less than half does, one event of any size may be added
    history_ms: how long the stream is kept after its end
    is_out: returns whether Redis does not work at present
    has_events: called when there is something to write, also from the hub
    has_ended: called once, when the stream is finished and written, or lost
    is_lost: whether the stream goes on without this recorder, or not at all
    followers: the workers that are told its events
    told_id: the number up to which they have been told
    """

    def __init__(
        self,
        stream_id: str,
        on_stop: Callable[[str], None],
        about: About,
        *,
        budget: Budget,
        share: Share,
        max_queue_bytes: int,
        history_ms: int,
        is_out: Callable[[], bool],
        has_events: Callable[["RedisRecorder"], None],
        has_ended: Callable[["RedisRecorder"], None],
    ) -> None:
        self.stream_id = stream_id
        self.key = keys_and_commands.stream_key(stream_id)
        self.about = about
        self.window = Window()
        self.stop_request = StopRequest(on_stop)
        self.history = History()
        self.last_id = 0
        self.is_lost = False
        self.link: object | None = None
        """The connection over which Redis took or showed its last events; None: it was given none."""
        self.followers: list[Link] = []
        self.told_id = 0
        self.share = share
        self._budget = budget
        self._max_queue_bytes = max_queue_bytes
        self._ample_queue_bytes = max_queue_bytes // 2
        """A recorder that has less than this waiting has room for an event of any size."""
        self._history_ms = history_ms
        self._is_out = is_out
        self._has_events = has_events
        self._has_ended = has_ended
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._terminal_event: bytes | None = None
        self._is_unstored = False
        """Whether Redis has still to get the end."""
        # The number of the last event that Redis has; the queue begins with the next one.
        self._written_id = 0
        # The oldest event that Redis has been told to keep.
        self._oldest_kept = 1

    # The producer's side.

    @property
    def has_room(self) -> bool:
        keeps_up = self._queued_bytes < self._ample_queue_bytes
        return keeps_up or not self.is_open or self._is_out()

    @property
    def is_stored(self) -> bool:
        return not self.has_unwritten

    def append(self, event: bytes) -> None:
        if self._terminal_event is not None:
            raise RuntimeError("nothing may follow the terminal event")
        # A producer that has waited for room may add an event of any size.
        queued_bytes = self._queued_bytes
        is_too_much = queued_bytes + len(event) > self._max_queue_bytes
        if is_too_much and queued_bytes >= self._ample_queue_bytes and not self.is_lost:
            self.lose()
        if self.is_lost:
            raise JournalLostError(
                "Redis has taken no events for too long, or others took this worker for dead"
            )
        event = numbered(self.last_id + 1, event)
        event_bytes = len(event)
        # Without a call in between, after which a signal's exception may come and leave the one without the other.
        self._queue += (event,)
        self.last_id += 1
        self._queued_bytes += event_bytes
        self._count(event_bytes)
        self._has_events(self)

    def finish(self, event: bytes) -> None:
        if self._terminal_event is not None:
            raise RuntimeError("nothing may follow the terminal event")
        self.stop_request.withdraw()
        if not self.is_lost:
            self.last_id += 1
            self._terminal_event = event
            self._is_unstored = True
            registry.admission().unstored_count += 1
            self._has_events(self)

    def lose(self) -> None:
        """Give the stream up; only for one that is open."""
        self.is_lost = True
        self._queue.clear()
        self._queued_bytes = 0
        self.stop_request.give("lost")
        self._end()

    def _end(self) -> None:
        if self._is_unstored:
            self._is_unstored = False
            registry.admission().unstored_count -= 1
        self._has_ended(self)

    def _count(self, event_bytes: int) -> None:
        before = self.history.byte_count
        max_bytes = self._budget.max_history_bytes(before, event_bytes)
        self.history.add(self.last_id, event_bytes, max_bytes)
        self._budget.count(self.share, self.history.byte_count - before)

    # The writer's side.

    @property
    def is_open(self) -> bool:
        """Whether the stream is neither lost nor finished and written."""
        return not (self.is_lost or self.window.is_finished)

    @property
    def has_unwritten(self) -> bool:
        return self._written_id < self.last_id and self.is_open

    def next_batch(self) -> Batch:
        """Return the events that are to be written next; ``confirm`` removes them from the queue."""
        commands: list[Command] = []
        key, byte_count, last = self.key, 0, self._written_id
        for event in islice(self._queue, _BATCH_EVENTS):
            last += 1
            # As ``add_event`` makes it, which would make the key anew for each event.
            commands.append(("XADD", key, "NOMKSTREAM", f"{last}-0", "e", event))
            byte_count += len(event)
            if byte_count > _BATCH_BYTES:
                break
        # The queue may hold more than is kept, but Redis can only drop events that it has.
        oldest = min(self.history.oldest, last)
        if commands and oldest > self._oldest_kept:
            commands[-1] = keys_and_commands.add_event(self.stream_id, last, event, oldest)
            self._oldest_kept = oldest
        if self._terminal_event is not None and len(commands) == len(self._queue):
            last += 1
            commands += keys_and_commands.finish_stream(
                self.stream_id, self._terminal_event, self._history_ms
            )
        return Batch(commands, last, byte_count)

    def confirm(self, last_written: int) -> None:
        """Give the readers of this worker the events up to this number, which Redis has."""
        window = self.window
        queue, written_id = self._queue, self._written_id
        while queue and written_id < last_written:
            event = queue.popleft()
            self._queued_bytes -= len(event)
            self._written_id = written_id = written_id + 1
            if written_id > window.last_id:
                window.append(event)
        if self._written_id < last_written and self._terminal_event is not None:
            self._written_id += 1
            window.finish(self._terminal_event)
        if window.byte_count > WINDOW_BYTES:
            window.trim(WINDOW_BYTES)
        if window.is_followed:
            window.wake()
        if window.is_finished:
            self._end()

    def reconcile(self, last: LastEvent) -> None:
        """Go on after the last event that Redis has.

        Redis may have taken events without confirming them, and may have lost events that it had confirmed.
        """
        window = self.window
        if last.is_terminal and not self._is_ours(last):
            self.lose()
        elif last.number >= self._written_id:
            self.confirm(last.number)
        else:
            # Only the window still has events that Redis has lost.
            oldest = max(last.number + 1, window.first_id)
            for number in range(self._written_id, oldest - 1, -1):
                self._queue.appendleft(window.event(number))
            self._written_id = oldest - 1
            self._queued_bytes = sum(map(len, self._queue))

    def _is_ours(self, last: LastEvent) -> bool:
        terminal = self._terminal_event
        return (
            terminal is not None
            and last.number == self.last_id
            and last.event == numbered(last.number, terminal)
        )
