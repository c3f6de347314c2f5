"""The app's functions that are called when owners come and leave."""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import TypeAlias

from flask_sluice.journal.turns import Turns

logger = logging.getLogger("sluice.channels")

PresenceCallback: TypeAlias = Callable[[str, str, Mapping[str, str]], object]
"""Called with the channel's name, the owner, and the details of the reader."""


class PresenceCallbacks:
    """What to call.

    on_join: when the first reader of an owner has come to a channel
    on_leave: when the last one has left it
    """

    def __init__(self) -> None:
        self.on_join: list[PresenceCallback] = []
        self.on_leave: list[PresenceCallback] = []


class CallbackQueue:
    """Calls the functions in the background, one after the other, in the order of what has happened.

    They may block, and are not called in a turn.
    """

    def __init__(self, turns: Turns, callbacks: PresenceCallbacks) -> None:
        self._turns = turns
        self._callbacks = callbacks
        self._waiting: deque[tuple[PresenceCallback, str, str, Mapping[str, str]]] = deque()
        self._is_running = False

    @property
    def tells_leaves(self) -> bool:
        """Whether the app of this process wants to know who leaves."""
        return bool(self._callbacks.on_leave)

    def joined(self, name: str, owner: str, details: Mapping[str, str]) -> None:
        self._add(self._callbacks.on_join, name, owner, details)

    def left(self, name: str, owner: str, details: Mapping[str, str]) -> None:
        self._add(self._callbacks.on_leave, name, owner, details)

    def _add(
        self, functions: list[PresenceCallback], name: str, owner: str, details: Mapping[str, str]
    ) -> None:
        self._waiting.extend((function, name, owner, details) for function in functions)
        if self._waiting and not self._is_running:
            self._is_running = True
            self._turns.start(self._run)

    def _run(self) -> None:
        while True:
            with self._turns:
                if not self._waiting:
                    self._is_running = False
                    return
                function, name, owner, details = self._waiting.popleft()
            try:
                function(name, owner, dict(details))
            except BaseException:  # gevent.Timeout is not an Exception; the other functions are to be called all the same.
                logger.exception("a function for the presence of readers failed")
