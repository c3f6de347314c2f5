"""The open streams of a process that have threads, and how they end with it."""

import atexit

# Imported first, so that it is called last when the interpreter exits; see below.
import concurrent.futures.thread  # noqa: F401
import logging
import threading
from typing import Protocol

from flask_sluice.stream.threads.per_process import PerProcess

logger = logging.getLogger("sluice.stream")

END_SECONDS = 1.0
"""For streams to send their error event, and for their generators to get to a ``yield``, when the process ends."""
SAVE_SECONDS = 30.0
"""For generators that save their answer, after the terminal event."""


class OpenStream(Protocol):
    """A stream, as far as the process that ends is concerned."""

    @property
    def is_saving(self) -> bool:
        """Whether the generator goes on after its terminal event."""

    def on_drain(self) -> None: ...


class OpenStreams:
    """Keeps the streams whose generator runs or whose body is read, and ends them when the interpreter exits.

    lock: guards the process's numbers too, which all streams add to. Reentrant: the garbage collector may close a stream
        while it is held
    change: of this lock; a signal's exception may come while a Condition takes or gives its lock, but not with the lock itself
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.change = threading.Condition(self.lock)
        self._streams: set[OpenStream] = set()

    def __len__(self) -> int:
        return len(self._streams)

    def add(self, stream: OpenStream) -> None:
        with self.lock:
            self._streams.add(stream)

    def discard(self, stream: OpenStream) -> None:
        with self.lock:
            self._streams.discard(stream)
            self.change.notify_all()

    def end(self) -> None:
        """Have all streams end with an error event, and wait until they have; for a while only."""
        with self.change:
            streams = list(self._streams)
        for stream in streams:
            stream.on_drain()
        with self.change:
            self.change.wait_for(lambda: not self._streams, END_SECONDS)
            saving = self._count_saving()
            if saving:
                logger.warning(
                    "%d generators save their answer; the process ends in %.0f s at the latest",
                    saving,
                    SAVE_SECONDS,
                )
                self.change.wait_for(lambda: not self._count_saving(), SAVE_SECONDS)

    def _count_saving(self) -> int:
        return sum(stream.is_saving for stream in self._streams)


open_streams = PerProcess(OpenStreams)


def _end_streams() -> None:
    open_streams().end()


# Before Python calls what atexit has, it waits for the threads of each ThreadPoolExecutor, gunicorn's for example: for ever, if
# these have streams. What is to be called before that is registered under a name that is not public.
getattr(threading, "_register_atexit", atexit.register)(_end_streams)
