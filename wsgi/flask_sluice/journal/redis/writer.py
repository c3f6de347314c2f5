"""Writes the events of all the streams of a worker."""

import time
from collections.abc import Callable
from itertools import islice

import gevent
from gevent.event import Event as Flag
from redis.exceptions import ResponseError

from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis import keys_and_commands as redis_format
from flask_sluice.journal.redis.client import Command, RedisClient, Reply
from flask_sluice.journal.redis.keys_and_commands import Last
from flask_sluice.journal.redis.recorder import Batch, RedisRecorder

BATCH_SECONDS = 0.002
"""From one batch to the next, at least. What comes after a pause is written at once; what comes all the time is
gathered, since a batch costs as much as some five events."""

_MAX_COMMANDS = 1000
_MAX_BYTES = 1024 * 1024


class RedisWriter:
    """One greenlet, which writes what all streams have queued in one transaction, and then again.

    A transaction, and not only a pipeline: a Redis that is full refuses all of it or nothing, so that no
    stream has a gap; and blocked readers get it in one piece.

    recreate: gives the commands that make a stream which Redis has lost
    """

    def __init__(
        self, client: RedisClient, recreate: Callable[[RedisRecorder], list[Command]]
    ) -> None:
        # Behind a broken connection there may be a Redis that has lost the last events.
        self._connection = client.keep_connection(may_repeat=False)
        self._recreate = recreate
        # In the order in which their turn comes.
        self._queued: dict[RedisRecorder, None] = {}
        self._unsure: set[RedisRecorder] = set()
        self._has_work = Flag()
        self.problem: str | None = None
        """Why the last batch could not be written."""

    def has_events(self, recorder: RedisRecorder) -> None:
        """Never blocks; the hub may call it."""
        self._queued[recorder] = None
        self._has_work.set()

    def look_up(self, recorder: RedisRecorder) -> None:
        """What Redis has of this stream is not known: it is asked before anything is written."""
        self._unsure.add(recorder)
        self.has_events(recorder)

    def flush(self, seconds: float) -> None:
        """Waits until all is written, but no longer than this."""
        ends_at = time.monotonic() + seconds
        while self._queued and time.monotonic() < ends_at:
            gevent.sleep(BATCH_SECONDS)

    def close(self) -> None:
        self._has_work.set()

    def step(self) -> None:
        """Writes a batch, and waits for its first event if there is none."""
        self._has_work.wait()
        try:
            self._reconcile()
            self._write()
        except JournalUnavailableError as error:
            self.problem = error.reason
            # Whether the last batch was taken is not known.
            self._unsure.update(self._queued)
            raise
        self.problem = None
        if not self._queued:
            self._has_work.clear()

    def _reconcile(self) -> None:
        self._unsure = {recorder for recorder in self._unsure if recorder.is_open}
        recorders = list(self._unsure)
        if not recorders:
            return
        replies = self._connection.execute(
            *(redis_format.read_last(recorder.stream_id) for recorder in recorders)
        )
        lost = [recorder for recorder, reply in zip(recorders, replies, strict=True) if not reply]
        if lost:
            self._connection.transaction(
                *(command for recorder in lost for command in self._recreate(recorder))
            )
        for recorder, reply in zip(recorders, replies, strict=True):
            self._unsure.discard(recorder)
            if isinstance(reply, ResponseError):  # The key is another's: it holds no stream.
                recorder.lose()
            else:
                recorder.reconcile(Last.of(reply))

    def _write(self) -> None:
        batches: list[tuple[RedisRecorder, Batch]] = []
        commands: list[Command] = []
        byte_count = 0
        for recorder in list(self._queued):
            if not recorder.has_unwritten:
                del self._queued[recorder]
                continue
            batch = recorder.next_batch()
            batches.append((recorder, batch))
            commands += batch.commands
            byte_count += batch.byte_count
            if len(commands) > _MAX_COMMANDS or byte_count > _MAX_BYTES:
                break
        if not batches:
            return
        results = iter(self._connection.transaction(*commands))
        for recorder, batch in batches:
            self._settle(recorder, batch, list(islice(results, len(batch.commands))))
            # Again after the others, if there is more by now.
            del self._queued[recorder]
            if recorder.has_unwritten:
                self._queued[recorder] = None

    def _settle(self, recorder: RedisRecorder, batch: Batch, results: list[Reply]) -> None:
        refusals = [result for result in results if isinstance(result, ResponseError)]
        if recorder.is_open and not refusals and None not in results:
            recorder.has_written(batch.last)
            return
        # Redis has the event already, or another end of the stream, or has lost the stream.
        self._unsure.add(recorder)
        if refusals and "equal or smaller" not in str(refusals[0]):
            raise JournalUnavailableError(f"Redis refuses to write: {refusals[0]}")
