"""What keeps channels: in the memory of one process, or in Redis for several."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from flask_sluice.channels.follower import ChannelFollower
from flask_sluice.channels.identity import ReaderIdentity
from flask_sluice.channels.ids import Position
from flask_sluice.channels.local_channel import LocalChannel
from flask_sluice.channels.presence import Presence
from flask_sluice.journal.turns import Turns


class ChannelStore(Protocol):
    """The channels of one process. All methods are called in a turn, and may block where it is not said otherwise.

    They raise JournalUnavailableError.
    """

    @property
    def turns(self) -> Turns: ...

    def publish(self, name: str, event: bytes) -> Position:
        """Add an event, which comes without an id. Return its position."""

    def kick(self, name: str, where: Mapping[str, str]) -> None:
        """End the readers of a channel, in all processes, that have these values; all of them if ``where`` is empty."""

    def last_position(self, name: str) -> Position:
        """Return the position of the newest event, or a later one."""

    def open(self, names: Sequence[str]) -> list[LocalChannel]:
        """Return channels, ready to be followed at once."""

    def follow(
        self,
        channel: LocalChannel,
        after: Position | None,
        wake: Callable[[], None],
        identity: ReaderIdentity,
        *,
        is_new: bool,
    ) -> ChannelFollower:
        """Read a channel that ``open`` has returned.

        after: None: only what is published from now on
        is_new: see ``ChannelFollower``
        """

    def present(self, name: str) -> list[Presence]:
        """Return the owners that read a channel, in all processes."""

    def close(self) -> None:
        """Release everything."""
