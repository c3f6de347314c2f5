"""Who reads a channel now."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flask_sluice.channels.callbacks import CallbackQueue
from flask_sluice.channels.identity import ReaderIdentity


@dataclass(frozen=True, slots=True)
class Presence:
    """An owner that reads a channel, with one reader or several.

    details: of the reader that came first of those that are there
    since: when that came, in seconds since 1970
    """

    owner: str
    details: Mapping[str, str]
    since: float


class LocalPresence:
    """The readers of one process. Those without an owner are not noted.

    now: returns seconds since 1970
    """

    def __init__(self, queue: CallbackQueue, now: Callable[[], float]) -> None:
        self._queue = queue
        self._now = now
        # By channel and owner; the readers by their object, since two tabs may look the same.
        self._present: dict[str, dict[str, dict[int, Presence]]] = {}

    def join(self, name: str, identity: ReaderIdentity) -> None:
        if identity.owner is None:
            return
        readers = self._present.setdefault(name, {}).setdefault(identity.owner, {})
        if not readers:
            self._queue.joined(name, identity.owner, identity.details)
        readers[id(identity)] = Presence(identity.owner, identity.details, self._now())

    def leave(self, name: str, identity: ReaderIdentity) -> None:
        owners = self._present.get(name)
        if identity.owner is None or owners is None:
            return
        readers = owners[identity.owner]
        del readers[id(identity)]
        if not readers:
            del owners[identity.owner]
            self._queue.left(name, identity.owner, identity.details)
        if not owners:
            del self._present[name]

    def present(self, name: str) -> list[Presence]:
        return [next(iter(readers.values())) for readers in self._present.get(name, {}).values()]
