"""A reader's positions in several channels."""

from collections.abc import Callable, Sequence
from functools import partial

from flask_sluice.channels.follower import KICKED_EVENT, ChannelFollower
from flask_sluice.channels.ids import id_of, with_ids
from flask_sluice.stream.errors import ApiError


class MergedFollower:
    """Takes the events of several channels, each with an id that holds the positions in all. See ``Follower``.

    parts: its followers of the channels
    is_new: whether the client does not know its position in one of them yet
    """

    def __init__(self, parts: Sequence[ChannelFollower], *, is_new: bool) -> None:
        self._ids = [part.channel.id_at(part.position) for part in parts]
        self._parts = parts
        self.on_left: Callable[[], None] | None = None
        self._forwards = [partial(self._forward_event, place) for place in range(len(parts))]
        self._forward: Callable[[bytes], bool] | None = None
        self.new_id = b",".join(self._ids) if is_new else b""
        # The part of which events are taken next, so that a busy channel does not hold up the others.
        self._turn = 0

    @property
    def forward(self) -> Callable[[bytes], bool] | None:
        return self._forward

    @forward.setter
    def forward(self, forward: Callable[[bytes], bool] | None) -> None:
        if forward is self._forward:
            return
        self._forward = forward
        for part, forward_event in zip(self._parts, self._forwards, strict=True):
            part.forward = forward_event if forward is not None else None

    @property
    def has_events(self) -> bool:
        if self.is_finished:
            # It was kicked from one channel, and gets nothing more of the others.
            return False
        return any(part.has_events for part in self._parts)

    @property
    def is_finished(self) -> bool:
        return any(part.is_finished for part in self._parts)

    @property
    def error(self) -> ApiError | None:
        return next((part.error for part in self._parts if part.error is not None), None)

    @property
    def terminal_event(self) -> bytes:
        return KICKED_EVENT

    @property
    def was_reset(self) -> bool:
        return any(part.was_reset for part in self._parts)

    @property
    def event_count(self) -> int:
        return sum(part.event_count for part in self._parts)

    def take(self) -> bytes:
        kicked = next((part for part in self._parts if part.is_kicked), None)
        if kicked is not None:
            return kicked.take()
        for _ in self._parts:
            place, self._turn = self._turn, (self._turn + 1) % len(self._parts)
            if events := self._parts[place].take_events():
                return b"".join([self._with_ids(place, event) for event in events])
        return b""

    def close(self) -> None:
        for part in self._parts:
            part.close()
        if self.on_left is not None:
            on_left, self.on_left = self.on_left, None
            on_left()

    def _forward_event(self, place: int, event: bytes) -> bool:
        assert self._forward is not None
        wants_more = self._forward(self._with_ids(place, event))
        if not wants_more:
            # Not the events of the other channels either: a part of this one is still to be sent.
            self.forward = None
        return wants_more

    def _with_ids(self, place: int, event: bytes) -> bytes:
        self._ids[place] = id_of(event)
        return with_ids(self._ids, event)
