"""The streams in Redis, as one process sees them."""

import contextlib
import logging
import os
import time
from collections.abc import Callable
from functools import partial

from flask_sluice.journal.budget import Budget
from flask_sluice.journal.errors import (
    InvalidEventIdError,
    JournalUnavailableError,
    UnknownStreamError,
)
from flask_sluice.journal.protocol import About, Description, Limits
from flask_sluice.journal.redis import keys_and_commands as commands
from flask_sluice.journal.redis.keys_and_commands import (
    inbox_key,
    producer_key,
)
from flask_sluice.journal.redis.leases import Lease, LeaseKeeper
from flask_sluice.journal.redis.messages import Following
from flask_sluice.journal.redis.producing import writer
from flask_sluice.journal.redis.producing.abandonment import Abandonment
from flask_sluice.journal.redis.producing.feed import EventFeed
from flask_sluice.journal.redis.producing.history import KeptStreams
from flask_sluice.journal.redis.producing.recorder import RedisRecorder
from flask_sluice.journal.redis.producing.writer import EventWriter
from flask_sluice.journal.redis.reading import inbox
from flask_sluice.journal.redis.reading.catch_up import CatchUp
from flask_sluice.journal.redis.reading.follower import RedisFollower
from flask_sluice.journal.redis.reading.inbox import Inbox
from flask_sluice.journal.redis.reading.producers import Producers
from flask_sluice.journal.redis.servers.client import RedisClient
from flask_sluice.journal.redis.servers.credentials import RedisCredentials
from flask_sluice.journal.redis.servers.packing import Command
from flask_sluice.journal.redis.servers.repeated_step import RepeatedStep
from flask_sluice.journal.redis.streams import (
    LOOK_SECONDS,
    FollowedStream,
    StoredStreams,
    WorkerStreams,
    window_from,
)
from flask_sluice.journal.redis.times import LeaseTimes
from flask_sluice.journal.turns import Turns
from flask_sluice.journal.window import Window

logger = logging.getLogger("sluice.journal")

_LEAST_QUEUE_BYTES = 1024 * 1024
"""How much may wait for Redis, however little history is kept: a burst of events is not an outage."""

_FLUSH_SECONDS = 2.0
_CHECK_SECONDS = 1.0
"""Between looks whether a Redis that failed works again."""


class RedisStore:
    """The streams that this process produces and follows. See ``Journal`` and, for the arguments, ``RedisJournal``.

    Four jobs in the background serve all streams: the writer, the reader of the inbox, the one that catches up, and the
    keeper of leases. They start with the first stream, so that a process which only asks whether Redis answers has none.
    """

    is_shared = True

    def __init__(
        self,
        url: str,
        limits: Limits,
        turns: Turns,
        *,
        lost_event: bytes,
        lease_seconds: float,
        credentials: RedisCredentials | None = None,
    ) -> None:
        self.turns = turns
        self._pid = os.getpid()
        self._limits = limits
        self._streams = WorkerStreams()
        self._client = RedisClient(
            url, f"sluice-{self._streams.worker_id}", turns, credentials=credentials
        )
        self._health = self._client.health
        self._times = times = LeaseTimes(limits, lease_seconds)
        self._catch_up = CatchUp(self._client, self._streams)
        self._inbox = Inbox(
            self._client,
            self._streams,
            self._catch_up,
            on_stop=self._stop_own,
            on_following=self._take_following,
        )
        self._feed = EventFeed(self._streams.own, self._has_follower)
        self._writer = EventWriter(
            self._client, self._feed, self._create_commands, self._lease_commands
        )
        self._lease = Lease(self._client, times)
        producers = Producers(
            self._client,
            self._streams,
            self._catch_up,
            times,
            lost_event=lost_event,
            would_know=self._lease.would_know,
        )
        self._abandonment = Abandonment(self._client, self._streams.own, self._feed, times)
        self._keeper = LeaseKeeper(
            self._client,
            self._streams,
            times,
            self._lease,
            inbox=self._inbox,
            writer=self._writer,
            producers=producers,
            abandonment=self._abandonment,
        )
        self._stored = StoredStreams(
            self._client,
            self._streams,
            self._lease,
            times,
            end=producers.end,
            lost_event=lost_event,
        )
        self._budget = Budget(limits)
        self._kept = KeptStreams(self._budget, limits.history_seconds, self._delete)
        self._steps: list[RepeatedStep] = []

    def create(self, stream_id: str, on_stop: Callable[[str], None], about: About) -> RedisRecorder:
        self._start()
        recorder = RedisRecorder(
            stream_id,
            on_stop,
            about,
            budget=self._budget,
            share=self._kept.begin_stream(about.owner),
            max_queue_bytes=max(self._limits.history_bytes, _LEAST_QUEUE_BYTES),
            history_ms=self._times.history_ms,
            is_out=lambda: self._health.problem is not None,
            has_events=self._writer.has_events,
            has_ended=self._has_ended,
        )
        try:
            if not self._lease.is_held:
                # Any worker that sees a stream whose producer has no lease would end it.
                self._client.transaction(*self._lease_commands())
            self._client.transaction(*self._create_commands(recorder))
            if about.names:
                self._client.execute(
                    *(
                        commands.name_stream(name, stream_id, self._times.name_ms)
                        for name in about.names
                    )
                )
        except BaseException:
            self._kept.withdraw(recorder)
            raise
        self._streams.own[stream_id] = recorder
        self._abandonment.has_no_reader(stream_id)
        return recorder

    def follow(self, stream_id: str, after: int, wake: Callable[[], None]) -> RedisFollower:
        self._start()
        recorder = self._streams.own.get(stream_id)
        if recorder is not None:
            # Events up to the recorder's last one count, not only those of the window: another worker may have heard
            # of an event from Redis before this one has heard that Redis took it.
            if not 0 <= after <= recorder.last_id:
                raise InvalidEventIdError(recorder.last_id)
            self._abandonment.has_reader(stream_id)
            return self._follower(stream_id, recorder.window, after, wake)
        stream = self._streams.followed.get(stream_id)
        # A reader that comes from another worker may have an event that has not arrived here yet.
        if stream is not None and 0 <= after <= stream.window.last_id:
            return self._follower(stream_id, stream.window, after, wake)
        return self._follow_stored(stream_id, after, wake)

    def describe(self, stream_id: str) -> Description:
        self._start()
        return self._stored.describe(stream_id)

    def find(self, name: str) -> str | None:
        self._start()
        return self._stored.id_of(name)

    def stop(self, stream_id: str) -> None:
        self._start()
        times, began_at = self._times, time.monotonic()
        while stream_id not in self._streams.own:
            stored = self._stored.look_up(stream_id)
            if stored.last.is_terminal:
                return
            if stored.producer:
                (reached,) = self._client.transaction(
                    commands.ask_to_stop(stored.producer, stream_id)
                )
                if reached:
                    return
            # Redis may have lost where the producer is. It says so again within this time, if it lives.
            doubt = times.lease_seconds if stored.is_claimed else times.doubt_seconds
            if time.monotonic() - began_at >= doubt:
                if stored.is_there:
                    return
                raise UnknownStreamError
            self.turns.sleep(LOOK_SECONDS)
        self._stop_own(stream_id)

    def problem(self) -> str | None:
        if self._steps and self._health.problem is not None:
            return self._health.problem  # The check goes on.
        reason = self._client.check(commands.everything)
        if reason is not None:
            # So that something looks when the problem is over, also if this worker is not asked again.
            self._start()
        return reason

    def check_settings(self) -> None:
        self._health.note_policy(self._client.setting("maxmemory-policy"))

    def close(self) -> None:
        if self._steps and os.getpid() == self._pid:
            self._writer.flush(_FLUSH_SECONDS)
            for step in self._steps:
                step.close()
            self._writer.close()
            self._catch_up.close()
            with contextlib.suppress(JournalUnavailableError):  # The key expires then.
                self._client.execute(
                    ("DEL", inbox_key(self._streams.worker_id)),
                    *(("DEL", producer_key(stream_id)) for stream_id in self._streams.own),
                )
        # In a child process, too: its copies of the sockets would take replies that its parent waits for.
        self._client.close()

    def _start(self) -> None:
        if not self._steps:
            # Nothing has watched Redis so far, so it may have been away since it was asked last.
            self._health.reached_since = None
            self._steps = [
                RepeatedStep(self.turns, step, pause_seconds)
                for step, pause_seconds in (
                    (self._check_health, _CHECK_SECONDS),
                    (self._keeper.step, self._times.pause_seconds),
                    (self._writer.step, writer.BATCH_SECONDS),
                    (self._inbox.step, inbox.BATCH_SECONDS),
                    (self._catch_up.step, inbox.BATCH_SECONDS),
                    *self._client.steps,
                )
            ]

    def _check_health(self) -> None:
        self._health.wait_for_problem()
        self._client.check(commands.everything)

    # Streams that other workers produce, and finished ones.

    def _follow_stored(self, stream_id: str, after: int, wake: Callable[[], None]) -> RedisFollower:
        stored = self._stored.find(stream_id, after)
        # Another reader may have come while this one waited for Redis.
        stream = self._streams.followed.get(stream_id)
        if stream is not None:
            return self._follower(stream_id, stream.window, after, wake)
        last = stored.last
        stream = FollowedStream(stream_id, stored.producer, window_from(last))
        follower = self._follower(stream_id, stream.window, after, wake)
        if not last.is_terminal:
            self._streams.followed[stream_id] = stream
            try:
                self._announce(stream)
            except BaseException:
                # The caller does not get the follower, and so cannot close it.
                follower.close()
                raise
        return follower

    def _announce(self, stream: FollowedStream) -> None:
        """Have its producer tell this worker its events."""
        if not stream.producer:
            return
        following = self._streams.following([stream.stream_id], is_all=False)
        # If it does not hear of it, the keeper has this worker read the stream, and asks again.
        with contextlib.suppress(JournalUnavailableError):
            self._client.execute(commands.follow(stream.producer, following))

    def _follower(
        self, stream_id: str, window: Window, after: int, wake: Callable[[], None]
    ) -> RedisFollower:
        def on_close() -> None:
            self._keeper.readers.discard(follower)
            if not window.is_followed:
                self._has_no_reader(stream_id, window)

        follower = RedisFollower(
            window,
            after,
            wake,
            on_close,
            fetch_history=partial(self._stored.read_history, stream_id),
            turns=self.turns,
        )
        self._keeper.readers.add(follower)
        return follower

    def _has_no_reader(self, stream_id: str, window: Window) -> None:
        recorder = self._streams.own.get(stream_id)
        if recorder is not None and recorder.window is window:
            self._abandonment.has_no_reader(stream_id)
        stream = self._streams.followed.get(stream_id)
        if stream is not None and stream.window is window:
            self._streams.unfollow(stream)

    # Streams that this worker produces.

    def _create_commands(self, recorder: RedisRecorder) -> list[Command]:
        return commands.create_stream(
            recorder.stream_id,
            recorder.about,
            self._streams.worker_id,
            self._times.running_ms,
            self._times.lease_ms,
        )

    def _lease_commands(self) -> list[Command]:
        return commands.renew_lease(self._streams.worker_id, self._times.lease_ms)

    def _delete(self, stream_id: str) -> None:
        self._client.execute(commands.delete_stream(stream_id))

    def _stop_own(self, stream_id: str) -> None:
        recorder = self._streams.own.get(stream_id)
        if recorder is not None:
            recorder.stop_request.give("stopped")

    def _take_following(self, following: Following) -> None:
        self._feed.follow(following)
        self._writer.has_news()

    def _has_follower(self, stream_id: str, has_any: bool) -> None:
        if has_any:
            self._abandonment.has_reader(stream_id)
        else:
            self._abandonment.has_no_reader(stream_id)

    def _has_ended(self, recorder: RedisRecorder) -> None:
        stream_id = recorder.stream_id
        del self._streams.own[stream_id]
        self._abandonment.has_reader(stream_id)
        self._kept.add(recorder)
        if recorder.is_lost:
            self._keeper.is_to_end(stream_id)
            self._feed.has_lost(recorder)
            self._writer.has_news()
            if recorder.window.is_followed:
                # Its readers go on with the events that Redis has.
                stream = FollowedStream(stream_id, self._streams.worker_id, recorder.window)
                self._streams.followed[stream_id] = stream
                self._catch_up.read(stream)
