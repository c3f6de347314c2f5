"""Waiting among greenlets. ``time.sleep`` would stop them all: the unit tests run without gevent's patches."""

import gevent

TIMEOUT_SECONDS = 20
TINY_SECONDS = 0.02
"""For timers that are waited for. The ticker looks every 0.05 s, so that nothing shorter is seen earlier."""


def wait_until(condition):
    """Lets the other greenlets run until ``condition()`` is true; fails the test if it never is."""
    with gevent.Timeout(TIMEOUT_SECONDS, AssertionError("what was waited for never came")):
        while not condition():
            gevent.sleep(0.001)


def run_all():
    """Lets the other greenlets run until each waits for something."""
    gevent.idle()
