"""The streams in Redis that concern this worker, and what Redis has of a stream."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from flask_sluice.journal.errors import (
    InvalidEventIdError,
    JournalUnavailableError,
    UnknownStreamError,
)
from flask_sluice.journal.protocol import Description
from flask_sluice.journal.redis import keys_and_commands, messages
from flask_sluice.journal.redis.keys_and_commands import (
    LastEvent,
    about_key,
    about_of,
    event_of,
    inbox_key,
    name_key,
    producer_key,
    producer_of,
    stream_key,
)
from flask_sluice.journal.redis.messages import Following
from flask_sluice.journal.redis.producing.recorder import RedisRecorder
from flask_sluice.journal.redis.servers.client import RedisClient
from flask_sluice.journal.redis.servers.connection import Reply
from flask_sluice.journal.redis.times import LeaseTimes
from flask_sluice.journal.window import Window, numbered

if TYPE_CHECKING:
    from flask_sluice.journal.redis.leases import Lease

_FETCHED_EVENTS = 500
LOOK_SECONDS = 0.1
"""Between looks for what a producer is expected to write again."""
_STORE_SECONDS = 0.5
"""How long a producer takes, at most, to store the events of a stream that it has created again."""


@dataclass(slots=True, eq=False)
class FollowedStream:
    """A running stream that readers of this worker follow and another worker produces.

    producer: the id of the worker that produces it, which never changes; "" if that is not known
    stored_id: the largest number that Redis is known to have
    told_at: when the producer last said that it tells this worker the events, in monotonic seconds; None: it does not
    is_claimed: whether Redis says that a worker produces it
    silent_since: when that was first seen not to be said, or that worker not to have a lease
    missing_since: when Redis was first seen not to have the stream, in monotonic seconds
    """

    stream_id: str
    producer: str
    window: Window
    stored_id: int = 0
    told_at: float | None = None
    is_claimed: bool = True
    silent_since: float | None = None
    missing_since: float | None = None

    def note_producer(self, reply: Reply) -> None:
        """Take Redis's reply to who produces it: an id, or None."""
        self.is_claimed = isinstance(reply, bytes)
        if isinstance(reply, bytes):
            self.producer = reply.decode()

    def is_dead(self, living: set[str]) -> bool:
        """Whether it is known that no worker with a lease produces it. living: the workers that have one"""
        return self.producer != "" and self.producer not in living


@dataclass(slots=True)
class WorkerStreams:
    """All of them, by id. A stream is in at most one of the two dictionaries.

    worker_id: of this process. It is never used again, so that a worker that was taken for dead stays dead
    own: the running streams that this worker produces
    """

    own: dict[str, RedisRecorder] = field(default_factory=dict)
    followed: dict[str, FollowedStream] = field(default_factory=dict)
    worker_id: str = field(default_factory=lambda: os.urandom(8).hex())
    _message_count: int = 0

    def following(self, stream_ids: list[str], *, is_all: bool) -> bytes:
        """Return a ``Following`` that tells a producer of these."""
        self._message_count += 1
        return messages.encode(
            Following(self.worker_id, self._message_count, stream_ids, is_all=is_all)
        )

    def unfollow(self, stream: FollowedStream) -> None:
        """Remove a stream, unless it was left and followed anew, which makes it another object."""
        if self.followed.get(stream.stream_id) is stream:
            del self.followed[stream.stream_id]


def window_from(last: LastEvent) -> Window:
    """Return a window that begins with the stream's last event; older events are fetched, newer ones will come."""
    window = Window(max(1, last.number))
    if last.number:
        window.append(last.event)
        window.is_finished = last.is_terminal
    return window


class StoredStream(NamedTuple):
    """What Redis has of a stream.

    producer: the id of the worker that produces it, also where it does not live; "" if Redis does not have it
    is_claimed: whether that worker was there less than a lease ago
    is_there: whether Redis has the stream itself
    may_return: whether a producer may be about to write again what is missing of it
    """

    last: LastEvent
    producer: str
    is_claimed: bool
    is_there: bool
    may_return: bool


class StoredStreams:
    """Looks streams up in Redis.

    end: ends streams whose producer is dead; see ``Producers.end``
    lost_event: the terminal event of a stream whose producer is dead, without an id
    """

    def __init__(
        self,
        client: RedisClient,
        streams: WorkerStreams,
        lease: "Lease",
        times: LeaseTimes,
        *,
        end: Callable[[list[str]], object],
        lost_event: bytes,
    ) -> None:
        self._client = client
        self._streams = streams
        self._lease = lease
        self._times = times
        self._end = end
        self._inbox_key = inbox_key(streams.worker_id)
        self._lost_event = lost_event

    def describe(self, stream_id: str) -> Description:
        """See ``Journal``."""
        last = self._settled(stream_id).last
        about, left_ms = self._client.execute(
            ("HGETALL", about_key(stream_id)), ("PTTL", stream_key(stream_id))
        )
        is_kept = last.is_terminal and left_ms > 0
        return Description(
            about_of(about),
            last.number,
            last.event if last.is_terminal else None,
            time.time() + left_ms / 1000 if is_kept else None,
        )

    def id_of(self, name: str) -> str | None:
        """See ``Journal.find``."""
        (stream_id,) = self._client.execute(("GET", name_key(name)))
        return None if stream_id is None else str(stream_id.decode())

    def read_history(self, stream_id: str, first: int, last: int) -> list[tuple[int, bytes]]:
        """Return the stored events from one number to another with their numbers, or the first of them.

        Raises JournalUnavailableError.
        """
        events = self._read_events(stream_id, first, last)
        if events and events[0][0] == first:
            return events
        if self.awaits(stream_id, last):
            raise JournalUnavailableError("Redis has lost events that are being stored again")
        # They may have been stored again between these two looks.
        return self._read_events(stream_id, first, last)

    def find(self, stream_id: str, after: int) -> StoredStream:
        """Return a stream that has given out this number; wait for its producer where Redis may have lost the stream.

        Redis may have lost the event itself, and what followed it. Then the producer stores it again, or the stream is
        ended in its place, and the reader waits for that as a reader.

        Raises UnknownStreamError, InvalidEventIdError, JournalUnavailableError.
        """
        stored, may_return = self._find_there(stream_id)
        ends_at = time.monotonic() + _STORE_SECONDS
        while not 0 <= after <= stored.last.number:
            if after >= 0 and self._may_lack_events(stored, may_return=may_return):
                break
            # Redis may have dropped the stream just now: its producer creates it again first, and then adds its events.
            if after < 0 or stored.last.is_terminal or time.monotonic() >= ends_at:
                raise InvalidEventIdError(stored.last.number)
            self._client.turns.sleep(LOOK_SECONDS)
            stored = self.look_up(stream_id)
        return stored

    def _find_there(self, stream_id: str) -> tuple[StoredStream, bool]:
        """Return a stream that Redis has, and whether its producer may have stored it again meanwhile."""
        ends_at = time.monotonic() + self._times.doubt_seconds
        may_return = False
        while True:
            stored = self.look_up(stream_id)
            may_return |= stored.may_return
            if stored.is_there:
                return stored, may_return
            if not may_return:
                raise UnknownStreamError
            if time.monotonic() >= ends_at:
                if stored.may_return:
                    raise JournalUnavailableError(
                        "Redis has lost streams that are being stored again"
                    )
                raise UnknownStreamError
            self._client.turns.sleep(LOOK_SECONDS)

    def _settled(self, stream_id: str) -> StoredStream:
        """Return what Redis has of a stream; one whose producer is dead gets its end before.

        Raises UnknownStreamError, JournalUnavailableError.
        """
        own = self._streams.own
        began_at = time.monotonic()
        while True:
            stored = self.look_up(stream_id)
            if not stored.is_there and stream_id not in own:
                raise UnknownStreamError
            may_run = stored.may_return or stream_id in own
            may_run |= stored.is_claimed and stored.producer != self._streams.worker_id
            if stored.last.is_terminal or may_run or not self._lease.would_know():
                return stored
            lives, times = self.produces(stored.producer), self._times
            doubt = times.lease_seconds if lives else times.doubt_seconds
            if time.monotonic() - began_at >= doubt:
                self._end([stream_id])
            else:
                # A producer that lives may be writing again that it does.
                self._client.turns.sleep(LOOK_SECONDS)

    def _read_events(self, stream_id: str, first: int, last: int) -> list[tuple[int, bytes]]:
        (entries,) = self._client.execute(
            keys_and_commands.read_events(stream_id, first, last, _FETCHED_EVENTS)
        )
        if isinstance(entries, Exception):
            return []  # The key is used by something else: the stream is gone.
        return [(number, event) for number, event in map(event_of, entries) if number is not None]

    def awaits(self, stream_id: str, number: int) -> bool:
        """Return whether a producer may be about to store the stream again up to this number. Raises JournalUnavailableError."""
        # Those the keeper ends if their producer is dead.
        runs = stream_id in self._streams.own or stream_id in self._streams.followed
        try:
            stored = self.look_up(stream_id)
        except UnknownStreamError:
            return runs
        last = stored.last
        return (runs or stored.may_return) and not last.is_terminal and last.number < number

    def _may_lack_events(self, stored: StoredStream, *, may_return: bool) -> bool:
        """Return whether readers may have later events of the stream than Redis. Raises JournalUnavailableError."""
        last = stored.last
        if last.is_terminal:
            return last.event == numbered(last.number, self._lost_event)
        # A producer that lives has stored all that it has given out, unless Redis has just lost it.
        return may_return or not (stored.is_claimed and self.produces(stored.producer))

    def produces(self, producer: str) -> bool:
        """Return whether this is a worker that lives. This one would have the stream among its own."""
        if producer in ("", self._streams.worker_id):
            return False
        (has_lease,) = self._client.execute(("EXISTS", inbox_key(producer)))
        return bool(has_lease)

    def look_up(self, stream_id: str) -> StoredStream:
        """Raises UnknownStreamError if there is no trace of the stream, JournalUnavailableError."""
        entries, is_there, producer, has_lease = self._client.execute(
            keys_and_commands.read_last(stream_id),
            ("EXISTS", stream_key(stream_id)),
            ("GET", producer_key(stream_id)),
            ("EXISTS", self._inbox_key),
        )
        for reply in (entries, producer):
            if isinstance(reply, Exception):
                raise JournalUnavailableError(f"Redis refuses to read: {reply}")
        may_return = (producer is not None and not is_there) or self._lease.may_return(
            is_stored=bool(has_lease)
        )
        if not (is_there or may_return):
            raise UnknownStreamError
        last = LastEvent.of(entries)
        if producer is not None:
            producer_id = producer.decode()
        else:
            producer_id = "" if last.is_terminal else self._producer_of(stream_id)
        return StoredStream(
            last,
            producer_id,
            is_claimed=producer is not None,
            is_there=bool(is_there),
            may_return=may_return,
        )

    def _producer_of(self, stream_id: str) -> str:
        """Return who produces a stream, or has produced it, where the key that says so is gone. Raises JournalUnavailableError."""
        (about,) = self._client.execute(("HGETALL", about_key(stream_id)))
        return "" if isinstance(about, Exception) else producer_of(about)
