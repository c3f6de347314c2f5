"""``Channels``: many publishers, many readers."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TypeVar

from flask_sluice.channels.callbacks import PresenceCallback, PresenceCallbacks
from flask_sluice.channels.events import check_name, encode_event
from flask_sluice.channels.follower import ChannelFollower
from flask_sluice.channels.identity import (
    Details,
    Owner,
    ReaderIdentity,
    identity_of,
    where_of,
)
from flask_sluice.channels.ids import Position, id_text, positions_in
from flask_sluice.channels.limits import ChannelLimits
from flask_sluice.channels.memory import MemoryChannels
from flask_sluice.channels.merged_follower import MergedFollower
from flask_sluice.channels.presence import Presence
from flask_sluice.channels.protocol import ChannelStore
from flask_sluice.journal.owners import PerOwner
from flask_sluice.journal.per_process import PerProcess
from flask_sluice.journal.protocol import Follower
from flask_sluice.journal.redis.missing import telling_what_to_install
from flask_sluice.journal.redis.servers.credentials import RedisCredentials, check_needs_url
from flask_sluice.journal.turns import Turns, turns_of_process

F = TypeVar("F", bound=PresenceCallback)

_MAX_CHANNELS_OF_READER = 100
"""Each event's id has 25 bytes for each of them, and servers take 8 KiB of a Last-Event-ID."""


class Channels:
    """Publishes events to channels, and reads them.

    It needs neither Flask nor gevent, and works in any process: a web server, a Celery task, a script. It may be used by several
    threads, and be made before a fork. It connects when it is used first, and a process that only publishes starts no thread
    as long as Redis works.

    url, credentials: see ``Streams``; None: the channels are in the memory of this process
    history_events, history_bytes, history_seconds: which events of a channel are kept for readers that come back. All processes
        should have the same: when an event is published, its publisher drops those that are beyond its limits
    readers_per_owner: the most readers that one owner may have in one process; None: any number

    Raises ValueError for a URL that cannot be read, TypeError for credentials that are none, ImportError where redis-py is missing.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        credentials: RedisCredentials | None = None,
        history_events: int = ChannelLimits().history_events,
        history_bytes: int = ChannelLimits().history_bytes,
        history_seconds: float = ChannelLimits().history_seconds,
        readers_per_owner: int | None = None,
    ) -> None:
        _check_limit(readers_per_owner)
        self._limits = ChannelLimits(history_events, history_bytes, history_seconds)
        self._callbacks = PresenceCallbacks()
        make_store = _store_maker(url, credentials, self._limits, self._callbacks)
        self._process = PerProcess(lambda: _InProcess(make_store(), readers_per_owner))
        self.is_shared = url is not None
        """Whether other processes have the same channels."""

    # Publishers.

    def publish(self, name: str, data: object, *, event: str | None = None) -> str:
        """Send an event to all readers of a channel. Return its id.

        When it returns, the event is stored: readers that disconnect and come back get it, too.

        data: anything that JSON can say: a dict, a list, text, a number, None; or an ``Event`` with ``data``, which is sent
            as it is and gets its id here
        event: the event's type; absent means ``message``

        Raises JournalUnavailableError if Redis does not say that it has the event; it may have it if the reply was lost. TypeError
        or ValueError for a name or data that cannot be, and for an event that is larger than a channel's whole history.
        """
        check_name(name)
        encoded = encode_event(data, event)
        if len(encoded) > self._limits.history_bytes:
            raise ValueError(
                f"the event has {len(encoded)} bytes, and a channel keeps {self._limits.history_bytes}: "
                "publish less, such as the URL of the rest, or raise history_bytes"
            )
        store = self._process.here.store
        with store.turns:
            position = store.publish(name, encoded)
        return id_text(name, position)

    def last_id(self, *names: str) -> str:
        """Return the id after which a reader gets what is published from now on.

        For a page that shows a state and then reads the channels: it takes the id before it reads the state, and begins with
        ``?last_event_id=``, so that it misses nothing of what happens meanwhile.

        Raises JournalUnavailableError.
        """
        check_names(names)
        store = self._process.here.store
        with store.turns:
            return ",".join(id_text(name, store.last_position(name)) for name in names)

    def kick(self, name: str, where: Details | str | int | None = None) -> None:
        """End the readers that a channel has now, in all processes, such as when a permission ends.

        Each gets ``event: error`` with the code ``kicked``. An EventSource comes back then, and the app's view decides anew.

        where: which readers: {"owner": "7", "session": "x"} those whose owner and details have these values; "7" those of this
            owner; None all

        Raises JournalUnavailableError.
        """
        check_name(name)
        values = where_of(where)
        store = self._process.here.store
        with store.turns:
            store.kick(name, values)

    # Presence.

    def present(self, name: str) -> list[Presence]:
        """Return the owners that read a channel now, in all processes. Readers without an owner are not among them.

        It may take half a second where a process has just been killed. Raises JournalUnavailableError.
        """
        check_name(name)
        store = self._process.here.store
        with store.turns:
            return store.present(name)

    def on_join(self, function: F) -> F:
        """Have a function called when the first reader of an owner has come to a channel. Returns it: this is a decorator.

        It is called with the channel's name, the owner and the reader's details, in the process where the reader is, and in the
        background. It may block; an exception is logged.
        """
        self._callbacks.on_join.append(function)
        return function

    def on_leave(self, function: F) -> F:
        """Have a function called when the last reader of an owner has left a channel. See ``on_join``.

        Where the reader's process was killed, another process calls it that has readers.
        """
        self._callbacks.on_leave.append(function)
        return function

    # Readers.

    @property
    def turns(self) -> Turns:
        return self._process.here.store.turns

    def follow(
        self,
        names: Sequence[str],
        last_event_id: str,
        wake: Callable[[], None],
        *,
        owner: Owner = None,
        details: Details | None = None,
        readers_per_owner: int | None = None,
    ) -> Follower:
        """Read channels from the event after ``last_event_id`` on. See ``Journal.follow``.

        last_event_id: as the client sends it; "": it gets what is published from now on
        owner, details: see ``ReaderIdentity``
        readers_per_owner: in place of the one of all readers; None: that

        Raises InvalidChannelIdError, ApiError 429 where the owner has too many readers, JournalUnavailableError; TypeError or ValueError
        for names, an owner or details that cannot be.
        """
        if isinstance(names, str):
            raise ValueError(f"follow takes a list of names, such as [{names!r}]")
        check_names(names)
        names = list(dict.fromkeys(names))
        identity = identity_of(owner, details)
        positions = positions_in(last_event_id)
        here = self._process.here
        with here.store.turns, ExitStack() as on_failure:
            here.readers.add(identity.owner or "", readers_per_owner)
            on_failure.callback(here.readers.remove, identity.owner or "")
            follower = _follow(here.store, names, positions, wake, identity)
            follower.on_left = on_failure.pop_all().close
        return follower

    def close(self) -> None:
        """Release everything."""
        here = self._process.made_here
        if here is not None:
            here.close()


class _InProcess:
    """What one process has of the channels."""

    def __init__(self, store: ChannelStore, readers_per_owner: int | None) -> None:
        self.store = store
        self.readers = PerOwner(readers_per_owner, "readers of yours are connected")

    def close(self) -> None:
        self.store.close()


def _store_maker(
    url: str | None,
    credentials: RedisCredentials | None,
    limits: ChannelLimits,
    callbacks: PresenceCallbacks,
) -> Callable[[], ChannelStore]:
    check_needs_url(url, credentials)
    if url is None:
        return lambda: MemoryChannels(limits, turns_of_process(), callbacks)
    with telling_what_to_install("channels"):
        # Imported here because importing redis-py takes a seventh of a second, and not every app has it.
        from flask_sluice.channels.redis.store import RedisChannels, check_url  # noqa: PLC0415

    check_url(url, credentials)
    return lambda: RedisChannels(
        url, limits, turns_of_process(), callbacks, credentials=credentials
    )


def _check_limit(readers_per_owner: int | None) -> None:
    if readers_per_owner is None:
        return
    if type(readers_per_owner) is not int or readers_per_owner < 1:
        raise ValueError(f"readers_per_owner takes an integer >= 1, got {readers_per_owner!r}")


def check_names(names: Sequence[str]) -> None:
    """Raise TypeError or ValueError, which say what to do, for what a reader cannot read."""
    if not names:
        raise ValueError("name at least one channel")
    for name in names:
        check_name(name)
    if len(names) > _MAX_CHANNELS_OF_READER:
        raise ValueError(
            f"a reader has at most {_MAX_CHANNELS_OF_READER} channels, got {len(names)}"
        )


def _follow(
    store: ChannelStore,
    names: Sequence[str],
    positions: Mapping[bytes, Position],
    wake: Callable[[], None],
    identity: ReaderIdentity,
) -> ChannelFollower | MergedFollower:
    """positions: by the tags of the channels; a channel without one is read from now on"""
    channels = store.open(names)
    is_new = any(channel.tag not in positions for channel in channels)
    is_single = len(channels) == 1
    with ExitStack() as on_failure:
        parts: list[ChannelFollower] = []
        for channel in channels:
            part = store.follow(
                channel,
                positions.get(channel.tag),
                wake,
                identity,
                is_new=is_new and is_single,
            )
            on_failure.callback(part.close)
            parts.append(part)
        on_failure.pop_all()
    return parts[0] if is_single else MergedFollower(parts, is_new=is_new)
