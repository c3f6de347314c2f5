"""Where a generator waits without blocking."""

import msgspec


class Pause(msgspec.Struct, frozen=True, gc=False):
    """Yielded between events: the next item is wanted when ``seconds`` are over; None: never.

    They count from when the last pause was to end, so that delays do not add up, but never from so long ago that
    what was missed would come in a burst.
    """

    seconds: float | None
