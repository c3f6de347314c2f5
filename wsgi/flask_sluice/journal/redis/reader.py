"""Reads the events of all streams that this worker follows and others produce."""

from collections.abc import Callable

from redis.exceptions import ResponseError

from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis.client import Command, RedisClient, Reply
from flask_sluice.journal.redis.keys_and_commands import event_of, inbox_key, stream_key
from flask_sluice.journal.redis.recorder import WINDOW_BYTES
from flask_sluice.journal.redis.streams import FollowedStream, RedisStreams

BATCH_SECONDS = 0.004
"""From one read to the next, at least: a read costs as much as it has streams, whatever it brings."""

_BLOCK_SECONDS = 5
_BATCH_EVENTS_OF_STREAM = 100


class RedisReader:
    """One greenlet and one connection, whatever the number of streams and readers.

    It waits in XREAD for the worker's inbox and for all streams. One that is followed only now is not among
    them: something in the inbox ends the wait, however late it comes, and the read begins anew.

    on_stop_request: called with the id of a stream which this worker is to stop
    """

    def __init__(
        self,
        client: RedisClient,
        streams: RedisStreams,
        on_stop_request: Callable[[str], None],
    ) -> None:
        self._connection = client.keep_connection()
        self._streams = streams
        self._on_stop_request = on_stop_request
        self._inbox_position = "0-0"
        self.is_waiting = False
        """Whether a stream that is followed only now needs a nudge."""

    def forget_inbox(self) -> None:
        """The inbox is new. Its ids are Redis's time, which may have been set back."""
        self._inbox_position = "0-0"

    def step(self) -> None:
        """Reads once, and waits until there is something."""
        inbox = inbox_key(self._streams.worker_id)
        streams = {
            stream_key(stream.stream_id): stream for stream in self._streams.followed.values()
        }
        positions = [f"{stream.window.last_id}-0" for stream in streams.values()]
        limits: Command = ("COUNT", _BATCH_EVENTS_OF_STREAM, "BLOCK", _BLOCK_SECONDS * 1000)
        command: Command = (
            *("XREAD", *limits, "STREAMS", inbox, *streams),
            *(self._inbox_position, *positions),
        )
        self.is_waiting = True
        try:
            # A host that vanished says nothing: Redis, which ends the wait after a while, would.
            (reply,) = self._connection.execute(command, timeout_seconds=_BLOCK_SECONDS + 2)
        finally:
            self.is_waiting = False
        if isinstance(reply, ResponseError):
            raise JournalUnavailableError(f"Redis refuses to read: {reply}")
        for key, entries in reply or ():
            stream = streams.get(key.decode())
            if stream is None:
                self._take_requests(entries)
            else:
                self._add(stream, entries)

    def _take_requests(self, entries: list[Reply]) -> None:
        self._inbox_position = entries[-1][0]
        for _, (word, about) in entries:
            if word == b"stop":
                self._on_stop_request(about.decode())

    def _add(self, stream: FollowedStream, entries: list[Reply]) -> None:
        window = stream.window
        if window.is_finished:  # Given up while this read was under way.
            return
        for entry in entries:
            number, event = event_of(entry)
            if number is None:
                window.finish(event)
                self._streams.unfollow(stream)
                break
            if number != window.last_id + 1:  # Dropped, while Redis could not be reached.
                window.skip_to(number)
            window.append(event)
        window.trim(WINDOW_BYTES)
        window.wake()
