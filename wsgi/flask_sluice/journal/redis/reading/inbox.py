"""What other workers tell this one, or ask of it."""

import time
from collections.abc import Callable

from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis import messages
from flask_sluice.journal.redis.keys_and_commands import EVENTS, FOLLOW, STOP, inbox_key
from flask_sluice.journal.redis.messages import NOT_PRODUCED, Following, ToldEvent
from flask_sluice.journal.redis.producing.recorder import WINDOW_BYTES
from flask_sluice.journal.redis.reading.catch_up import CatchUp
from flask_sluice.journal.redis.servers.client import RedisClient
from flask_sluice.journal.redis.servers.connection import Refusal
from flask_sluice.journal.redis.servers.packing import Command
from flask_sluice.journal.redis.streams import WorkerStreams
from flask_sluice.journal.window import Window

BATCH_SECONDS = 0.002
"""The least time from one XREAD to the next: an XREAD and its reply cost as much as a few events."""

_BLOCK_SECONDS = 5
_MOST_MESSAGES = 100


class Inbox:
    """Reads the worker's inbox, in one connection, and passes on what is in it.

    on_stop: called with the id of a stream which this worker is to stop
    on_following: called with what another worker follows
    """

    def __init__(
        self,
        client: RedisClient,
        streams: WorkerStreams,
        catch_up: CatchUp,
        *,
        on_stop: Callable[[str], None],
        on_following: Callable[[Following], None],
    ) -> None:
        # Longer than Redis waits itself, so that only a host that has vanished lets the time run out.
        self._connection = client.keep_connection(reply_seconds=_BLOCK_SECONDS + 2)
        self._streams = streams
        self._catch_up = catch_up
        self._on_stop = on_stop
        self._on_following = on_following
        self._key = inbox_key(streams.worker_id)
        self.position = "0-0"
        """The id of the last message that was read."""

    def forget(self) -> None:
        """Read all that is there: the inbox is new, or another server has it.

        Its ids are the time of Redis, which may have been set back. To read a message twice does no harm.
        """
        self.position = "0-0"

    def step(self) -> None:
        """Wait until there is something in the inbox, and pass it on."""
        read: Command = ("XREAD", "COUNT", _MOST_MESSAGES, "BLOCK", _BLOCK_SECONDS * 1000)
        (reply,) = self._connection.execute((*read, "STREAMS", self._key, self.position))
        if isinstance(reply, Refusal):
            raise JournalUnavailableError(f"Redis refuses to read: {reply}")
        if not reply:
            return
        entries = reply[0][1]
        changed: dict[Window, None] = {}
        try:
            for id_, (word, about) in entries:
                # One that cannot be read is left behind, and those after it are not.
                self.position = id_.decode()
                self._take(word, about, changed)
        finally:
            for window in changed:
                window.trim(WINDOW_BYTES)
                window.wake()

    def _take(self, word: bytes, about: bytes, changed: dict[Window, None]) -> None:
        # Other words are of other releases, and what they say is found in other ways, too.
        if word == EVENTS:
            self._take_told(about, changed)
        elif word == FOLLOW:
            self._on_following(messages.decode_following(about))
        elif word == STOP:
            self._on_stop(about.decode())

    def _take_told(self, about: bytes, changed: dict[Window, None]) -> None:
        told = messages.decode_told(about)
        if told.positions:
            self._take_positions(told.positions)
        followed = self._streams.followed
        for each in told.events:
            stream = followed.get(each.stream_id)
            if stream is None:
                continue
            window = stream.window
            if each.number == window.last_id + 1 and not window.is_finished:
                window.append(each.event)
                changed[window] = None
                if each.is_terminal:
                    window.is_finished = True
                    self._streams.unfollow(stream)
            else:
                self._take_early(each)

    def _take_early(self, told: ToldEvent) -> None:
        """Take note of an event some time before which there is one that this worker does not have, or that it has read."""
        stream = self._streams.followed[told.stream_id]
        stream.stored_id = max(stream.stored_id, told.number)
        self._catch_up.look_at(stream)

    def _take_positions(self, positions: list[tuple[str, int]]) -> None:
        now = time.monotonic()
        for stream_id, number in positions:
            stream = self._streams.followed.get(stream_id)
            if stream is None:
                continue
            if number == NOT_PRODUCED:
                stream.told_at = None
                self._catch_up.read(stream)
            else:
                stream.told_at = now
                stream.stored_id = max(stream.stored_id, number)
                self._catch_up.look_at(stream)
