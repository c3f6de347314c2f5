"""What the worker keeps of a stream: not the stream itself, so that it ends when its body is dropped."""

import weakref
from typing import Protocol

_DROPPED_LOOK_SECONDS = 1.0


class Handled(Protocol):
    """A stream, as the loop, the ticker and the worker's end call it. None of the calls blocks."""

    def on_disconnect(self) -> None: ...

    def on_replaced(self) -> None: ...

    def on_drain(self) -> None: ...

    def on_tick(self, now: float) -> float: ...


class StreamHandle:
    """Passes on to a stream what happens to it, for as long as something else holds the stream.

    A hook or middleware may answer with another body than the stream that the view returned, and close neither. If the
    worker held the stream it would go on, with its generator and its upstream, and no one could read it.
    """

    __slots__ = ("_stream",)

    def __init__(self, stream: Handled) -> None:
        self._stream = weakref.ref(stream)

    def on_disconnect(self) -> None:
        if (stream := self._stream()) is not None:
            stream.on_disconnect()

    def on_replaced(self) -> None:
        if (stream := self._stream()) is not None:
            stream.on_replaced()

    def on_drain(self) -> None:
        if (stream := self._stream()) is not None:
            stream.on_drain()

    def on_tick(self, now: float) -> float:
        stream = self._stream()
        return now + _DROPPED_LOOK_SECONDS if stream is None else stream.on_tick(now)
