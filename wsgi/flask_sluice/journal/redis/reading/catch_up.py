"""Reads what this worker was not told of the streams that it follows."""

from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis.keys_and_commands import event_of, read_after
from flask_sluice.journal.redis.producing.recorder import WINDOW_BYTES
from flask_sluice.journal.redis.servers.client import RedisClient
from flask_sluice.journal.redis.servers.connection import Refusal, Reply
from flask_sluice.journal.redis.streams import FollowedStream, WorkerStreams

_STREAMS_AT_ONCE = 100
_EVENTS_OF_STREAM = 100


class CatchUp:
    """The streams of which there may be events in Redis that this worker does not have, and the job that reads them."""

    def __init__(self, client: RedisClient, streams: WorkerStreams) -> None:
        self._client = client
        self._turns = client.turns
        self._streams = streams
        self._to_read: dict[FollowedStream, None] = {}
        self._has_to_read = client.turns.new_flag()

    # Never blocks.

    def look_at(self, stream: FollowedStream) -> None:
        """Read this stream soon if Redis has events that this worker does not have."""
        if stream.stored_id > stream.window.last_id:
            self.read(stream)

    def read(self, stream: FollowedStream) -> None:
        """Read this stream soon."""
        self._to_read[stream] = None
        self._has_to_read.set()

    def close(self) -> None:
        self._has_to_read.set()

    # The job.

    def step(self) -> None:
        """Wait for streams that are to be read, and read some. Raises JournalUnavailableError."""
        self._turns.wait(self._has_to_read)
        taken = list(self._to_read)[:_STREAMS_AT_ONCE]
        for stream in taken:
            del self._to_read[stream]
        if not self._to_read:
            self._has_to_read.clear()
        streams = [stream for stream in taken if self._is_followed(stream)]
        if streams:
            self._read(streams)

    def _read(self, streams: list[FollowedStream]) -> None:
        try:
            pages = self._client.transactions(
                [
                    [read_after(stream.stream_id, stream.window.last_id, _EVENTS_OF_STREAM)]
                    for stream in streams
                ]
            )
        except BaseException:
            for stream in streams:
                self.read(stream)
            raise
        problem: JournalUnavailableError | None = None
        for stream, page in zip(streams, pages, strict=True):
            if isinstance(page, JournalUnavailableError):
                problem = page
                self.read(stream)
            elif self._is_followed(stream):
                self._add(stream, page[0])
        if problem is not None:
            raise problem

    def _is_followed(self, stream: FollowedStream) -> bool:
        return self._streams.followed.get(stream.stream_id) is stream

    def _add(self, stream: FollowedStream, entries: Reply) -> None:
        if isinstance(entries, Refusal):
            return  # The key is used by something else: the stream is gone.
        window = stream.window
        before = window.last_id
        for number, event in map(event_of, entries):
            if number is None:
                window.finish(event)
                self._streams.unfollow(stream)
                break
            if number <= window.last_id:
                continue  # It was told meanwhile.
            if number != window.last_id + 1:
                window.skip_to(number)  # Redis has dropped those before it.
            window.append(event)
        if window.last_id > before:
            window.trim(WINDOW_BYTES)
            window.wake()
            # Others may have been told of while these were read.
            if not window.is_finished:
                self.look_at(stream)
                if len(entries) == _EVENTS_OF_STREAM:
                    self.read(stream)
