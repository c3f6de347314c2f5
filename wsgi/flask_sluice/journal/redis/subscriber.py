"""Receives from Redis the events that other workers produce, and what other workers ask of this one."""

from collections.abc import Callable

from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis.keys_and_commands import event_of, inbox_key, stream_key
from flask_sluice.journal.redis.recorder import WINDOW_BYTES
from flask_sluice.journal.redis.servers.client import RedisClient
from flask_sluice.journal.redis.servers.connection import Command, Refusal, Reply
from flask_sluice.journal.redis.streams import FollowedStream, WorkerStreams

BATCH_SECONDS = 0.004
"""The least time from one XREAD to the next. An XREAD costs in proportion to its streams, whatever it brings."""

_BLOCK_SECONDS = 5
_BATCH_EVENTS_OF_STREAM = 100


class Subscriber:
    """Waits in one XREAD for the worker's inbox and for all streams that its readers follow.

    There is one greenlet and one connection, whatever the number of streams and readers. A stream that is followed
    while the XREAD waits is not part of it: a message in the inbox ends the wait, however late it comes, and the next
    XREAD includes the stream.

    on_stop_request: called with the id of a stream which this worker is to stop
    """

    def __init__(
        self,
        client: RedisClient,
        streams: WorkerStreams,
        on_stop_request: Callable[[str], None],
    ) -> None:
        # Longer than Redis waits itself, so that only a host that has vanished lets the time run out.
        self._connection = client.keep_connection(reply_seconds=_BLOCK_SECONDS + 2)
        self._streams = streams
        self._on_stop_request = on_stop_request
        self._inbox_position = "0-0"
        self.is_waiting = False
        """Whether a stream that is followed from now on needs a nudge."""

    def forget_inbox(self) -> None:
        """The inbox is new. Its ids are the time of Redis, which may have been set back."""
        self._inbox_position = "0-0"

    def step(self) -> None:
        """Wait until there is something in the inbox or in a stream, and pass it on."""
        streams = {
            stream_key(stream.stream_id): stream for stream in self._streams.followed.values()
        }
        for key, entries in self._read(streams):
            stream = streams.get(key.decode())
            if stream is None:
                self._take_requests(entries)
            else:
                self._add_events(stream, entries)

    def _read(self, streams: dict[str, FollowedStream]) -> list[Reply]:
        """Return the keys and entries of those that have any."""
        inbox = inbox_key(self._streams.worker_id)
        positions = [f"{stream.window.last_id}-0" for stream in streams.values()]
        options: Command = ("COUNT", _BATCH_EVENTS_OF_STREAM, "BLOCK", _BLOCK_SECONDS * 1000)
        command: Command = (
            *("XREAD", *options, "STREAMS", inbox, *streams),
            *(self._inbox_position, *positions),
        )
        self.is_waiting = True
        try:
            (reply,) = self._connection.execute(command)
        finally:
            self.is_waiting = False
        if isinstance(reply, Refusal):
            raise JournalUnavailableError(f"Redis refuses to read: {reply}")
        return reply or []

    def _take_requests(self, entries: list[Reply]) -> None:
        self._inbox_position = entries[-1][0]
        for _, (word, about) in entries:
            if word == b"stop":
                self._on_stop_request(about.decode())

    def _add_events(self, stream: FollowedStream, entries: list[Reply]) -> None:
        window = stream.window
        if window.is_finished:
            return  # It was given up while the XREAD waited.
        for entry in entries:
            number, event = event_of(entry)
            if number is None:
                window.finish(event)
                self._streams.unfollow(stream)
                break
            if number != window.last_id + 1:
                window.skip_to(number)  # Redis dropped some while it could not be reached.
            window.append(event)
        window.trim(WINDOW_BYTES)
        window.wake()
