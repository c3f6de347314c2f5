"""Writes the events of all the streams that a worker produces."""

import time
from collections.abc import Callable
from itertools import islice

from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis import keys_and_commands
from flask_sluice.journal.redis.keys_and_commands import LastEvent
from flask_sluice.journal.redis.recorder import Batch, RedisRecorder
from flask_sluice.journal.redis.servers.client import RedisClient
from flask_sluice.journal.redis.servers.connection import Command, Refusal, Reply

BATCH_SECONDS = 0.002
"""The least time from one batch to the next. An event that comes after a pause is written at once; events that come all
the time are gathered, since a batch costs as much as about five events."""

_MAX_COMMANDS = 1000
_MAX_BYTES = 1024 * 1024


class EventWriter:
    """Writes what all streams have queued in one transaction, and then again, in one place.

    A pipeline alone would not do: a Redis that is full refuses a transaction as a whole, so that no stream gets a gap,
    and readers that wait get a transaction in one piece.

    A recorder may be lost or finished while the writer waits for Redis. So every method asks again, after each wait,
    whether a recorder is still open.

    recreate: returns the commands that create a stream which Redis has lost
    """

    def __init__(
        self, client: RedisClient, recreate: Callable[[RedisRecorder], list[Command]]
    ) -> None:
        # A broken connection may mean a Redis that has lost the last events, so commands are never just repeated.
        self._connection = client.keep_connection(may_repeat=False)
        self._recreate = recreate
        # In the order in which their turn comes.
        self._queued: dict[RedisRecorder, None] = {}
        self._unsure: set[RedisRecorder] = set()
        self._turns = client.turns
        self._has_work = client.turns.new_flag()

    def has_events(self, recorder: RedisRecorder) -> None:
        """Write this recorder's events soon. Never blocks; the hub may call it."""
        self._queued[recorder] = None
        self._has_work.set()

    def look_up(self, recorder: RedisRecorder) -> None:
        """Ask which events of this stream Redis has, before any more are written."""
        self._unsure.add(recorder)
        self.has_events(recorder)

    def flush(self, seconds: float) -> None:
        """Wait until all is written, but no longer than this."""
        ends_at = time.monotonic() + seconds
        while self._queued and time.monotonic() < ends_at:
            self._turns.sleep(BATCH_SECONDS)

    def close(self) -> None:
        self._has_work.set()

    def step(self) -> None:
        """Wait for events, and write a batch of them."""
        self._turns.wait(self._has_work)
        try:
            self._reconcile()
            self._write()
        except JournalUnavailableError:
            # Redis may have taken the last batch.
            self._unsure.update(self._queued)
            raise
        if not self._queued:
            self._has_work.clear()

    def _reconcile(self) -> None:
        """Have each recorder of which Redis's state is not known go on after the events that Redis has."""
        self._unsure = {recorder for recorder in self._unsure if recorder.is_open}
        if not self._unsure:
            return
        recorders = list(self._unsure)
        replies = self._connection.execute(
            *(keys_and_commands.read_last(recorder.stream_id) for recorder in recorders)
        )
        reply_of = dict(zip(recorders, replies, strict=True))
        missing = [
            recorder for recorder, reply in reply_of.items() if not reply and recorder.is_open
        ]
        if missing:
            self._connection.transaction(
                *(command for recorder in missing for command in self._recreate(recorder))
            )
        for recorder, reply in reply_of.items():
            self._unsure.discard(recorder)
            if not recorder.is_open:
                continue
            if isinstance(
                reply, Refusal
            ):  # The key is used by something else, and holds no stream.
                recorder.lose()
            else:
                recorder.reconcile(LastEvent.of(reply))

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
            # Its turn comes again after the others, if it has more by now.
            del self._queued[recorder]
            if recorder.has_unwritten:
                self._queued[recorder] = None

    def _settle(self, recorder: RedisRecorder, batch: Batch, results: list[Reply]) -> None:
        if not recorder.is_open:
            return
        refusals = [result for result in results if isinstance(result, Refusal)]
        if not refusals and None not in results:
            recorder.confirm(batch.last_id)
            return
        # Redis has the event already, or has another end of the stream, or has lost the stream.
        self._unsure.add(recorder)
        if refusals and "equal or smaller" not in str(refusals[0]):
            raise JournalUnavailableError(f"Redis refuses to write: {refusals[0]}")
