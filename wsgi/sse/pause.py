"""Where a generator waits without blocking."""

import msgspec


class Pause(msgspec.Struct, frozen=True, gc=False):
    """Yielded between events: the next item is wanted when ``seconds`` are over; None: never."""

    seconds: float | None
