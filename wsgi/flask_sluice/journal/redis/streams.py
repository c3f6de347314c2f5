"""The streams in Redis that concern this worker, and what Redis has of a stream."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import gevent

from flask_sluice.journal.errors import (
    InvalidEventIdError,
    JournalUnavailableError,
    UnknownStreamError,
)
from flask_sluice.journal.redis import keys_and_commands
from flask_sluice.journal.redis.client import RedisClient
from flask_sluice.journal.redis.keys_and_commands import (
    LastEvent,
    inbox_key,
    owner_key,
    stream_key,
)
from flask_sluice.journal.redis.recorder import RedisRecorder
from flask_sluice.journal.window import Window

LOOK_SECONDS = 0.1
"""Between looks for what a producer is expected to write again."""


@dataclass(slots=True, eq=False)
class FollowedStream:
    """A running stream that readers of this worker follow and another worker produces.

    owner: the id of the worker that produces it; "" if that is not known
    silent_since: when that was first seen not to be known, or that worker not to have a lease
    missing_since: when Redis was first seen not to have the stream, in monotonic seconds
    """

    stream_id: str
    owner: str
    window: Window
    silent_since: float | None = None
    missing_since: float | None = None


@dataclass(slots=True)
class WorkerStreams:
    """All of them, by id. A stream is in at most one of the two dictionaries.

    worker_id: of this process. It is never used again, so that a worker that was taken for dead stays dead
    own: the running streams that this worker produces
    """

    own: dict[str, RedisRecorder] = field(default_factory=dict)
    followed: dict[str, FollowedStream] = field(default_factory=dict)
    worker_id: str = field(default_factory=lambda: os.urandom(8).hex())

    def unfollow(self, stream: FollowedStream) -> None:
        """Remove a stream, unless it was left and followed anew, which makes it another object."""
        if self.followed.get(stream.stream_id) is stream:
            del self.followed[stream.stream_id]


class StoredStream(NamedTuple):
    """What Redis has of a stream.

    owner: the id of the worker that produces it; "" if Redis does not have it
    is_there: whether Redis has the stream itself
    may_return: whether a producer may be about to write again what is missing of it
    """

    last: LastEvent
    owner: str
    is_there: bool
    may_return: bool


class StoredStreams:
    """Looks streams up in Redis.

    may_return: whether producers may be writing again what Redis has lost; called with whether it has this worker's lease
    restore_seconds: how long they may take for that
    """

    def __init__(
        self,
        client: RedisClient,
        streams: WorkerStreams,
        may_return: Callable[[bool], bool],
        restore_seconds: float,
    ) -> None:
        self._client = client
        self._inbox_key = inbox_key(streams.worker_id)
        self._may_return = may_return
        self._restore_seconds = restore_seconds

    def find(self, stream_id: str, after: int) -> StoredStream:
        """Return a stream that has an event with this number; wait for its producer where Redis may have lost that.

        Raises UnknownStreamError, InvalidEventIdError, JournalUnavailableError.
        """
        ends_at = time.monotonic() + self._restore_seconds
        may_return = False
        while True:
            stored = self.look_up(stream_id)
            may_return |= stored.may_return
            if stored.is_there and 0 <= after <= stored.last.number:
                return stored
            if stored.last.is_terminal or not may_return or time.monotonic() >= ends_at:
                break
            gevent.sleep(LOOK_SECONDS)
        if not stored.is_there:
            raise UnknownStreamError
        raise InvalidEventIdError(stored.last.number)

    def look_up(self, stream_id: str) -> StoredStream:
        """Raises UnknownStreamError if there is no trace of the stream, JournalUnavailableError."""
        entries, is_there, owner, has_lease = self._client.execute(
            keys_and_commands.read_last(stream_id),
            ("EXISTS", stream_key(stream_id)),
            ("GET", owner_key(stream_id)),
            ("EXISTS", self._inbox_key),
        )
        for reply in (entries, owner):
            if isinstance(reply, Exception):
                raise JournalUnavailableError(f"Redis refuses to read: {reply}")
        may_return = (owner is not None and not is_there) or self._may_return(bool(has_lease))
        if not (is_there or may_return):
            raise UnknownStreamError
        return StoredStream(
            LastEvent.of(entries),
            "" if owner is None else owner.decode(),
            is_there=bool(is_there),
            may_return=may_return,
        )
