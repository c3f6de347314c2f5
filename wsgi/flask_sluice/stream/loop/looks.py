"""Looks at several things that may not answer, side by side and within a time."""

from collections.abc import Callable, Mapping

import gevent


class Looks:
    """Runs each look in a greenlet, and never twice at once: whoever asks meanwhile gets what the running one finds."""

    def __init__(self) -> None:
        self._running: dict[str, gevent.Greenlet[[], str]] = {}

    def at(self, looks: Mapping[str, Callable[[], str]], seconds: float) -> dict[str, str | None]:
        """Return what each look returns, by its name; None for one that takes longer. Looks must not raise."""
        greenlets = {}
        for name, look in looks.items():
            greenlet = self._running.get(name)
            if greenlet is None or greenlet.dead:
                greenlet = self._running[name] = gevent.spawn(look)
            greenlets[name] = greenlet
        gevent.joinall(list(greenlets.values()), timeout=seconds)
        return {name: greenlet.value for name, greenlet in greenlets.items()}
