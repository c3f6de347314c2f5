"""What a stream and its generator know of each other."""

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from flask_sluice.observe.outcome import Outcome

if TYPE_CHECKING:
    from gevent.event import Event as Flag

logger = logging.getLogger("sluice.stream")


def new_request_id() -> str:
    return os.urandom(16).hex()


class StreamContext:
    """Given to a generator, so that it can hear that nobody wants its answer any more, and say how it went.

    A generator that has used ``wait`` or ``on_stop`` is taken to listen: it ends by itself when the stream is
    stopped, wherever it waits. See ``GeneratorFeed`` for what becomes of any other.

    request_id: names the request in logs
    """

    __slots__ = (
        "_stop_callbacks",
        "_stop_flag",
        "failure",
        "interrupt",
        "is_committed",
        "is_stopped",
        "is_taken",
        "listens",
        "notes",
        "outcome",
        "request_id",
    )

    def __init__(self, request_id: str | None = None) -> None:
        self.request_id = request_id or new_request_id()
        self.outcome: Outcome | None = None
        """None while the stream runs."""
        self.is_stopped = False
        self.is_taken = False
        """A stream has it."""
        self.is_committed = False
        """The 200 has been sent, without an event."""
        self.notes: dict[str, object] = {}
        """What else the log line at the stream's end shows: text, numbers. Metrics look at "route", "model", "stream"
        (False: the answer is one document), "upstream" and "upstream_status"."""
        self.failure: str | None = None
        self.listens = False
        self.interrupt: Callable[[], object] | None = None
        """Ends the wait of a generator that does not listen; set by its feed."""
        self._stop_flag: "Flag | None" = None
        self._stop_callbacks: list[Callable[[], object]] = []

    def stop_generating(self) -> None:
        """Asks the generator to end.

        One that listens does so by itself, and what it still yields is delivered; any other has
        GeneratorExit raised where it is (see ``GeneratorFeed``). A client that is still there gets an error event,
        unless the generator has yielded its terminal event. Any greenlet may call it, more than once. Runs the ``on_stop`` callbacks; one that raises is
        logged, and the others still run.
        """
        if self.is_stopped:
            return
        self.is_stopped = True
        if self._stop_flag is not None:
            self._stop_flag.set()
        for callback in self._stop_callbacks:
            try:
                callback()
            except Exception:
                logger.exception("on_stop callback failed request_id=%s", self.request_id)
        if self.interrupt is not None and not self.listens:
            self.interrupt()

    def on_stop(self, callback: Callable[[], object]) -> None:
        """``callback`` is called once when the stream is stopped, at once if it is already.

        It must end whatever the generator may be blocked in (close the upstream's connection, say).
        """
        self.listens = True
        if self.is_stopped:
            callback()
        else:
            self._stop_callbacks.append(callback)

    def wait(self, seconds: float | None) -> bool:
        """Waits, None for ever. Returns True, at once, when the stream is stopped."""
        self.listens = True
        if self.is_stopped:
            return True
        if self._stop_flag is None:
            # Not above: a shell or a Celery worker that imports this package may have no gevent.
            from gevent.event import Event as Flag  # noqa: PLC0415

            self._stop_flag = Flag()
        return bool(self._stop_flag.wait(seconds))

    def fail(self, reason: str) -> None:
        """The answer is not whole although its body will end properly: the outcome is an error."""
        self.failure = reason
