"""What a producer tells the workers that follow its streams."""

import time
from collections.abc import Callable

from flask_sluice.journal.redis import keys_and_commands
from flask_sluice.journal.redis.messages import NOT_PRODUCED, Following, Told, ToldEvent, encode
from flask_sluice.journal.redis.producing.recorder import RedisRecorder
from flask_sluice.journal.redis.servers.packing import Command

_MESSAGE_BYTES = 256 * 1024


class Link:
    """A worker that follows streams which this one produces.

    stream_ids: which of this worker's streams it follows
    number: that of the latest message that it has sent
    heard_at: when that message came, in monotonic seconds
    """

    __slots__ = ("byte_count", "events", "heard_at", "number", "positions", "stream_ids")

    def __init__(self) -> None:
        self.stream_ids: set[str] = set()
        self.number = 0
        self.heard_at = 0.0
        # What is to be told next.
        self.positions: dict[str, int] = {}
        self.events: list[ToldEvent] = []
        self.byte_count = 0

    @property
    def has_news(self) -> bool:
        return bool(self.positions or self.events)

    def take_message(self) -> bytes:
        """Return what is to be told, which then counts as told."""
        told = Told(list(self.positions.items()), self.events)
        self.positions, self.events, self.byte_count = {}, [], 0
        return encode(told)


class EventFeed:
    """Tells each worker the events of the streams that it follows: one message with those of all streams, in its inbox.

    So the cost of an event does not depend on how many streams a worker follows, and no command touches keys of two slots
    of a cluster. Only what Redis has stored is told. A message may be lost; the follower notices by the numbers of the
    events, or by the positions that it is told every few seconds, and reads the stream.

    own: the streams that this worker produces, by id
    on_follower: called with the id of a stream that has a follower, or has none any more, and whether it has. Never blocks
    """

    def __init__(
        self, own: dict[str, RedisRecorder], on_follower: Callable[[str, bool], None]
    ) -> None:
        self._own = own
        self._on_follower = on_follower
        self._links: dict[str, Link] = {}
        self._changed: dict[RedisRecorder, None] = {}

    # What it is told. Never blocks.

    def follow(self, following: Following) -> None:
        """Tell this worker of these streams from now on, and where they are at present."""
        link = self._links.setdefault(following.worker_id, Link())
        link.heard_at = time.monotonic()
        asked = set(following.stream_ids)
        if following.is_all and following.number > link.number:
            for stream_id in link.stream_ids - asked:
                self._leave(link, stream_id)
        link.number = max(link.number, following.number)
        for stream_id in following.stream_ids:
            recorder = self._own.get(stream_id)
            if recorder is None:
                link.positions[stream_id] = NOT_PRODUCED
            else:
                self._join(link, recorder)

    def has_stored(self, recorder: RedisRecorder) -> None:
        """Tell the events that Redis has of this stream since it was told last."""
        if recorder.followers:
            self._changed[recorder] = None

    def has_lost(self, recorder: RedisRecorder) -> None:
        """Tell the followers that this worker does not produce this stream any more."""
        self._changed.pop(recorder, None)
        for link in list(recorder.followers):
            link.positions[recorder.stream_id] = NOT_PRODUCED
            self._leave(link, recorder.stream_id)

    def forget_silent(self, seconds: float) -> None:
        """Forget the workers from which nothing has come for so long."""
        now = time.monotonic()
        for worker_id, link in list(self._links.items()):
            if now - link.heard_at > seconds:
                self.forget(worker_id)

    def forget(self, worker_id: str) -> None:
        """Forget a worker that is gone."""
        link = self._links.pop(worker_id, None)
        if link is None:
            return
        for stream_id in list(link.stream_ids):
            self._leave(link, stream_id)

    def tell_positions(self, worker_id: str) -> None:
        """Tell a worker where all its streams are: it may have missed a message."""
        link = self._links.get(worker_id)
        if link is not None:
            for stream_id in link.stream_ids:
                recorder = self._own.get(stream_id)
                told_id = NOT_PRODUCED if recorder is None else recorder.told_id
                link.positions[stream_id] = told_id

    def _join(self, link: Link, recorder: RedisRecorder) -> None:
        stream_id = recorder.stream_id
        if link not in recorder.followers:
            if not recorder.followers:
                recorder.told_id = recorder.window.last_id
            recorder.followers.append(link)
            link.stream_ids.add(stream_id)
            self._on_follower(stream_id, True)
        link.positions[stream_id] = recorder.told_id

    def _leave(self, link: Link, stream_id: str) -> None:
        link.stream_ids.discard(stream_id)
        recorder = self._own.get(stream_id)
        if recorder is not None and link in recorder.followers:
            recorder.followers.remove(link)
            if not recorder.followers:
                self._on_follower(stream_id, False)

    # What it tells.

    @property
    def has_news(self) -> bool:
        return bool(self._changed) or any(link.has_news for link in self._links.values())

    def take_messages(self) -> list[tuple[str, Command]]:
        """Return the workers to which there is something to tell, with the commands that tell it."""
        for recorder in self._changed:
            self._collect(recorder)
        self._changed.clear()
        return [
            (worker_id, keys_and_commands.tell(worker_id, link.take_message()))
            for worker_id, link in self._links.items()
            if link.has_news
        ]

    def _collect(self, recorder: RedisRecorder) -> None:
        window = recorder.window
        stream_id, last = recorder.stream_id, window.last_id
        terminal = last if window.is_finished else 0
        events: list[ToldEvent] = []
        byte_count = 0
        # What the window has dropped, the follower misses and reads.
        for number in range(max(recorder.told_id + 1, window.first_id), last + 1):
            event = window.event(number)
            events.append(ToldEvent(stream_id, number, event, number == terminal))
            byte_count += len(event)
        recorder.told_id = last
        for link in recorder.followers:
            if link.byte_count <= _MESSAGE_BYTES:
                link.events += events
                link.byte_count += byte_count
            else:
                # It reads them, in pieces as large as it likes.
                link.positions[recorder.stream_id] = recorder.told_id
        if window.is_finished:
            for link in recorder.followers:
                link.stream_ids.discard(recorder.stream_id)
            recorder.followers.clear()
