"""How one greenlet waits, and how others wake it."""

from gevent import get_hub
from gevent.hub import Waiter


class Signal:
    """Wakes the one greenlet that waits for it. A signal given before the wait is not lost."""

    __slots__ = ("_given", "_waiter")

    def __init__(self) -> None:
        self._given = False
        self._waiter: Waiter[None] | None = None

    def give(self) -> None:
        """Never blocks and never switches, so the hub's own callbacks may call it."""
        if self._given:
            return
        self._given = True
        if self._waiter is not None:
            # Through the loop, not at once: who gives the signal goes on, and gives more meanwhile.
            get_hub().loop.run_callback(self._waiter.switch, None)

    def give_from_hub(self) -> bool:
        """Like ``give``, from a callback of the hub: switches at once. Returns False if nobody waits."""
        if self._waiter is None or self._given:
            self._given = True
            return False
        self._given = True
        self._waiter.switch(None)
        return True

    def wait(self) -> None:
        if not self._given:
            # A Waiter, not a bare switch: if the greenlet is killed in its wait, a late switch hits
            # the Waiter and not whatever the greenlet does by then.
            self._waiter = Waiter()
            try:
                self._waiter.get()
            finally:
                self._waiter = None
        self._given = False
