"""Writes the events of all the streams that a worker produces."""

import time
from collections.abc import Callable

from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis import keys_and_commands
from flask_sluice.journal.redis.keys_and_commands import LastEvent
from flask_sluice.journal.redis.producing.feed import EventFeed
from flask_sluice.journal.redis.producing.recorder import Batch, RedisRecorder
from flask_sluice.journal.redis.servers.client import RETRY_SECONDS, RedisClient
from flask_sluice.journal.redis.servers.connection import Refusal, Reply
from flask_sluice.journal.redis.servers.packing import Command

BATCH_SECONDS = 0.002
"""The least time from one batch to the next. An event that comes after a pause is written at once; events that come all
the time are gathered, since a batch costs as much as about five events."""

_MAX_COMMANDS = 1000
_MAX_BYTES = 1024 * 1024


class EventWriter:
    """Writes what all streams have queued, in one exchange, and then tells the workers that follow them.

    The events of a stream are one transaction: a Redis that is full refuses it as a whole, so that no stream gets a gap.

    A recorder may be lost or finished while the writer waits for Redis. So every method asks again, after each wait,
    whether a recorder is still open.

    recreate: returns the commands that create a stream which Redis has lost
    renew_lease: returns those that make the lease of this worker
    """

    def __init__(
        self,
        client: RedisClient,
        feed: EventFeed,
        recreate: Callable[[RedisRecorder], list[Command]],
        renew_lease: Callable[[], list[Command]],
    ) -> None:
        # A broken connection may mean a Redis that has lost the last events, so commands are never just repeated.
        self._connection = client.keep_connection(may_repeat=False)
        self._feed = feed
        self._recreate = recreate
        self._renew_lease = renew_lease
        # In the order in which their turn comes.
        self._queued: dict[RedisRecorder, None] = {}
        self._unsure: set[RedisRecorder] = set()
        # Those whose server did not take their events, and when they are tried again, in monotonic seconds.
        self._failed: dict[RedisRecorder, None] = {}
        self._retry_at = 0.0
        self._turns = client.turns
        self._has_work = client.turns.new_flag()

    def has_events(self, recorder: RedisRecorder) -> None:
        """Write this recorder's events soon. Never blocks; the hub may call it."""
        if recorder not in self._failed:
            self._queued[recorder] = None
            self._has_work.set()

    def has_news(self) -> None:
        """Tell the feed's messages soon. Never blocks."""
        self._has_work.set()

    def look_up(self, recorder: RedisRecorder) -> None:
        """Ask which events of this stream Redis has, before any more are written."""
        self._unsure.add(recorder)
        self.has_events(recorder)

    def flush(self, seconds: float) -> None:
        """Wait until all is written, but no longer than this."""
        ends_at = time.monotonic() + seconds
        while (self._has_work.is_set() or self._failed) and time.monotonic() < ends_at:
            self._turns.sleep(BATCH_SECONDS)

    def close(self) -> None:
        self._has_work.set()

    def step(self) -> None:
        """Wait for events, and write a batch of them."""
        self._wait()
        try:
            self._doubt()
            self._reconcile()
            self._write()
            self._tell()
        except JournalUnavailableError:
            # Redis may have taken the last batch.
            self._unsure.update(self._queued)
            # What had failed before may be queued without a word to the next step.
            self._has_work.set()
            raise
        if not (self._queued or self._feed.has_news):
            self._has_work.clear()

    def _wait(self) -> None:
        if self._failed:
            self._turns.wait(self._has_work, max(0.0, self._retry_at - time.monotonic()))
            if time.monotonic() >= self._retry_at:
                self._queued.update(self._failed)
                self._failed.clear()
        else:
            self._turns.wait(self._has_work)

    def _doubt(self) -> None:
        """Note which recorders are to be looked up: their last events went over a connection that is not used any more.

        When it broke, other recorders may have been in the batch, and only they have heard of it.
        """
        link_of = self._connection.link_of
        for recorder in self._queued:
            if recorder.link is not None and recorder.link is not link_of(recorder.key):
                self._unsure.add(recorder)

    def _note_link(self, recorder: RedisRecorder) -> None:
        recorder.link = self._connection.link_of(recorder.key)
        if recorder.link is None:
            self._unsure.add(recorder)

    def _reconcile(self) -> None:
        """Have each recorder of which Redis's state is not known go on after the events that Redis has."""
        self._unsure = {recorder for recorder in self._unsure if recorder.is_open}
        recorders = [recorder for recorder in self._unsure if recorder not in self._failed]
        if not recorders:
            return
        pages = self._connection.transactions(
            [[keys_and_commands.read_last(recorder.stream_id)] for recorder in recorders]
        )
        found: list[tuple[RedisRecorder, Reply]] = []
        for recorder, page in zip(recorders, pages, strict=True):
            if isinstance(page, JournalUnavailableError):
                self._fail(recorder)
            elif recorder.is_open:
                found.append((recorder, page[0]))
        self._create_again([recorder for recorder, reply in found if not reply])
        for recorder, reply in found:
            if recorder in self._failed:
                continue
            self._unsure.discard(recorder)
            self._note_link(recorder)
            if not recorder.is_open:
                continue
            if isinstance(reply, Refusal):
                recorder.lose()  # The key is used by something else, and holds no stream.
            else:
                recorder.reconcile(LastEvent.of(reply))
                self._feed.has_stored(recorder)
        # A refusal among the replies has ended the connection.
        self._doubt()

    def _create_again(self, recorders: list[RedisRecorder]) -> None:
        if not recorders:
            return
        # Any worker that sees a stream whose producer has no lease would end it.
        lease, *results = self._connection.transactions(
            [self._renew_lease(), *map(self._recreate, recorders)]
        )
        for recorder, result in zip(recorders, results, strict=True):
            if isinstance(lease, JournalUnavailableError) or isinstance(
                result, JournalUnavailableError
            ):
                self._fail(recorder)

    def _write(self) -> None:
        batches: list[tuple[RedisRecorder, Batch]] = []
        command_count = byte_count = 0
        for recorder in list(self._queued):
            if recorder in self._unsure:
                continue
            if not recorder.has_unwritten:
                del self._queued[recorder]
                continue
            batch = recorder.next_batch()
            batches.append((recorder, batch))
            command_count += len(batch.commands)
            byte_count += batch.byte_count
            if command_count > _MAX_COMMANDS or byte_count > _MAX_BYTES:
                break
        if not batches:
            return
        outcomes = self._connection.transactions([batch.commands for _, batch in batches])
        for (recorder, batch), results in zip(batches, outcomes, strict=True):
            # Its turn comes again after the others, if it has more by now.
            del self._queued[recorder]
            if isinstance(results, JournalUnavailableError):
                self._unsure.add(recorder)
                self._fail(recorder)
                continue
            self._settle(recorder, batch, results)
            # It may have been asked for a look during the wait.
            has_more = recorder.has_unwritten or recorder in self._unsure
            if has_more and recorder not in self._failed:
                self._queued[recorder] = None

    def _settle(self, recorder: RedisRecorder, batch: Batch, results: list[Reply]) -> None:
        if not recorder.is_open:
            return
        refusals = [result for result in results if isinstance(result, Refusal)]
        if not refusals and None not in results:
            self._note_link(recorder)
            recorder.confirm(batch.last_id)
            self._feed.has_stored(recorder)
            return
        # Redis has the event already, or has another end of the stream, or has lost the stream.
        self._unsure.add(recorder)
        if refusals and "equal or smaller" not in str(refusals[0]):
            self._fail(recorder)

    def _fail(self, recorder: RedisRecorder) -> None:
        """Try this recorder again a little later. The others go on: a server of a cluster may be gone for long."""
        if not self._failed:
            self._retry_at = time.monotonic() + RETRY_SECONDS
        self._queued.pop(recorder, None)
        self._failed[recorder] = None

    def _tell(self) -> None:
        messages = self._feed.take_messages()
        if not messages:
            return
        try:
            results = self._connection.transactions([[command] for _, command in messages])
        except JournalUnavailableError:
            for worker_id, _ in messages:
                self._feed.tell_positions(worker_id)
            self._has_work.set()
            raise
        for (worker_id, _), result in zip(messages, results, strict=True):
            # It is gone; or its server takes no message, and to try again at once would be a busy loop. It reads the streams until
            # it says again what it follows.
            if isinstance(result, JournalUnavailableError) or result[0] is None:
                self._feed.forget(worker_id)
