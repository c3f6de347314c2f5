"""How a producer is asked to stop."""

import logging
from collections.abc import Callable

logger = logging.getLogger("sluice.journal")


class StopRequest:
    """Calls ``on_stop`` at most once, for the first reason that is given, and not after ``withdraw``."""

    __slots__ = ("_on_stop",)

    def __init__(self, on_stop: Callable[[str], None]) -> None:
        self._on_stop: Callable[[str], None] | None = on_stop

    def give(self, reason: str) -> None:
        on_stop, self._on_stop = self._on_stop, None
        if on_stop is not None:
            try:
                on_stop(reason)
            except Exception:
                # The caller goes on with other streams, which must not suffer from this one's producer.
                logger.exception("on_stop failed reason=%s", reason)

    def withdraw(self) -> None:
        self._on_stop = None
