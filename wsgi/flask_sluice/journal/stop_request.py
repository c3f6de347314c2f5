"""Asks a producer to stop."""

import logging
from collections.abc import Callable

logger = logging.getLogger("sluice.journal")


class StopRequest:
    """Calls ``on_stop`` once at most, whoever asks, and not after ``withdraw``."""

    __slots__ = ("_on_stop",)

    def __init__(self, on_stop: Callable[[str], None]) -> None:
        self._on_stop: Callable[[str], None] | None = on_stop

    def give(self, reason: str) -> None:
        on_stop, self._on_stop = self._on_stop, None
        if on_stop is not None:
            try:
                on_stop(reason)
            except Exception:
                # Whoever asks serves other streams, too.
                logger.exception("on_stop failed reason=%s", reason)

    def withdraw(self) -> None:
        self._on_stop = None
