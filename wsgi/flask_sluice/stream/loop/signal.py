"""How one greenlet waits, and how others wake it."""

from gevent import get_hub
from gevent.hub import Waiter


class Signal:
    """Wakes the one greenlet that waits for it. A signal that is given before the wait is kept."""

    __slots__ = ("_given", "_waiter")

    def __init__(self) -> None:
        self._given = False
        self._waiter: Waiter[None] | None = None

    def give(self) -> None:
        """Wake the waiting greenlet in the next turn of the loop. Does not block or switch, so the loop may call it."""
        if self._given:
            return
        self._given = True
        if self._waiter is not None:
            # Not at once: the caller goes on, and produces more meanwhile.
            get_hub().loop.run_callback(self._waiter.switch, None)

    def give_from_hub(self) -> bool:
        """Like ``give``, from a callback of the loop: switch at once. Returns False if no greenlet waits."""
        if self._waiter is None or self._given:
            self._given = True
            return False
        self._given = True
        self._waiter.switch(None)
        return True

    def wait(self) -> None:
        """Wait until the signal is given, or return at once if it was given before; then it is taken."""
        if not self._given:
            # A Waiter instead of a bare switch: if the greenlet is killed in its wait, a late switch hits the
            # Waiter and not what the greenlet does by then.
            self._waiter = Waiter()
            try:
                self._waiter.get()
            finally:
                self._waiter = None
        self._given = False
