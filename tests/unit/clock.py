"""A clock that the test turns, so that no verdict depends on which of two short times is over first."""

import gevent

from flask_sluice.stream import registry


class Clock:
    """Stands in for the module ``time`` of the event streams, and for their ticker's clock."""

    def __init__(self):
        self._now = 1000.0

    def monotonic(self):
        return self._now

    def turn(self, seconds):
        """Let ``seconds`` pass, and what is due by then be done."""
        self._now += seconds
        registry.ticker().tick()

    def turn_while_waiting(self, seconds):
        """Do that as soon as the greenlet that calls this waits for something."""
        gevent.spawn(self.turn, seconds)
