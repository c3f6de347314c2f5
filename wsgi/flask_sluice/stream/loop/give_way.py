"""How work that does not wait for anything lets others have their turn."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import gevent
from gevent import get_hub
from gevent.lock import Semaphore

LONGEST_TURN_SECONDS = 0.005
"""How long one stream may keep all others waiting, if it can be avoided."""
_EAGER_EVENTS = 8
"""As many as may wait for a client, by default."""


def give_way() -> None:
    """Let all greenlets run that can, also those whose socket or timer is ready, and those that they wake.

    ``sleep(0)`` alone would not: gevent's loop checks sockets and timers only after up to fifty callbacks of greenlets that
    slept so. Beside two greenlets that work for 10 ms each and then ``sleep(0)``, a timer was late by 0.6 s; with this
    function by less than 0.1 s.
    """
    hub = get_hub()
    loop: Any = hub.loop
    # Of zero seconds: for a timer that is not yet over libev sleeps for at least a millisecond.
    timer = loop.timer(0)
    try:
        hub.wait(timer)
    finally:
        timer.close()
    # libev calls the newest watcher of a turn first, so the sockets come now, and then, before the second of these returns,
    # the greenlets that they have woken.
    gevent.sleep(0)
    gevent.sleep(0)


def loop_is_held() -> bool:
    """Whether the event loop has not turned for 5 ms: sockets and timers have had to wait for so long."""
    # The loop takes its time from this clock, once in a turn. (libuv takes another one, and is always held then.)
    return time.time() - get_hub().loop.now() > LONGEST_TURN_SECONDS


class EventPacer:
    """Has a generator give way after an event that would otherwise lie about while it computes the next one.

    An event that comes when the loop is held goes out at once. So do the next ones: after two events that come together the
    generator may compute again. They are few, so that giving way costs a fiftieth of the time that the loop was held.
    """

    __slots__ = ("_eager_events",)

    def __init__(self) -> None:
        self._eager_events = 0

    def after_item(self, now: float) -> float:
        """Give way if it is time to. Returns when to ask again: after the first item from then on.

        now, and what is returned: monotonic seconds
        """
        if loop_is_held():
            self._eager_events = _EAGER_EVENTS
        if not self._eager_events:
            return now + LONGEST_TURN_SECONDS
        self._eager_events -= 1
        give_way()
        return 0.0


@contextmanager
def heavy_work() -> Iterator[None]:
    """Do work of many milliseconds while no other greenlet does so, which may give way in between.

    Several that gave way to each other would all work in the same turn of the loop, and hold up the rest for their sum.
    """
    with _heavy_works():
        give_way()
        yield


@cache
def _heavy_works() -> Semaphore:
    return Semaphore(1)
