"""What a stream and its generator know of each other: whether the stream is stopped, and how it went."""

import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from flask_sluice.observe.outcome import Outcome

if TYPE_CHECKING:
    from flask_sluice.stream.admission import Pool
    from flask_sluice.stream.errors import ApiError

logger = logging.getLogger("sluice.stream")


class Flag(Protocol):
    """What gevent's and threading's Event have in common."""

    def set(self) -> None: ...

    def wait(self, timeout: float, /) -> bool: ...


def _new_flag() -> Flag:
    """Return one for a context of which no stream has said yet that it has threads."""
    # A process that has not imported gevent has no greenlet that could wait.
    if sys.modules.get("gevent") is None:
        return threading.Event()
    from gevent.event import Event  # noqa: PLC0415

    return Event()


def new_request_id() -> str:
    """Return 32 hexadecimal digits, at random."""
    return os.urandom(16).hex()


class StreamContext:
    """Tells a generator that its stream has been stopped, and takes from it how the answer went.

    A generator that calls ``wait`` or ``on_stop`` listens: it is expected to end by itself when the stream is stopped.
    ``GeneratorFeed`` says how any other generator is ended.

    request_id: names the request in logs; None: a new one
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
        "may_commit",
        "notes",
        "on_commit_allowed",
        "outcome",
        "pool",
        "request_id",
        "told_error",
    )

    def __init__(self, request_id: str | None = None) -> None:
        self.request_id = request_id or new_request_id()
        self.outcome: Outcome | None = None
        """How the stream ended; None while it runs."""
        self.is_stopped = False
        self.is_taken = False
        """Whether a stream uses this context; each is for one stream."""
        self.is_committed = False
        """Whether the 200 has been sent without an event, so that a failure can no longer change the status."""
        self.may_commit = True
        """Whether the 200 may be sent so; not before it is known that the answer is a stream. See ``allow_commit``."""
        self.on_commit_allowed: Callable[[], object] | None = None
        """Wakes the stream; set by it."""
        self.notes: dict[str, object] = {}
        """More fields for the log line at the stream's end: text and numbers. Metrics use "route", "model", "stream"
        (False: the answer is one JSON document), "upstream" and "upstream_status"."""
        self.pool: Pool | None = None
        """The places of which the stream takes one; None: the worker's."""
        self.failure: str | None = None
        """Why the answer is not whole, although its body ends properly; see ``fail``."""
        self.told_error: ApiError | None = None
        """The error that the client was told by one of the feed's own events."""
        self.listens = False
        """Whether the generator ends by itself when the stream is stopped."""
        self.interrupt: Callable[[], object] | None = None
        """Ends the wait of a generator that does not listen; set by its feed."""
        self._stop_flag: Flag | None = None
        self._stop_callbacks: list[Callable[[], object]] = []

    def stop_generating(self) -> None:
        """Ask the generator to end. Any greenlet may call this, more than once.

        A generator that listens ends by itself, and the events that it still yields are delivered; any other gets
        GeneratorExit where it is (see ``GeneratorFeed``). A client that is still there gets an error event, unless the
        generator has yielded its terminal event. The ``on_stop`` callbacks run; one that raises is logged, and the
        others still run.
        """
        if self.is_stopped:
            return
        self.is_stopped = True
        if self._stop_flag is not None:
            self._stop_flag.set()
        while (callback := self._next_stop_callback()) is not None:
            try:
                callback()
            except Exception:
                logger.exception("on_stop callback failed request_id=%s", self.request_id)
        # The feed's end forgets it, in another thread where the generator has one of its own.
        interrupt = self.interrupt
        if interrupt is not None and not self.listens:
            interrupt()

    def on_stop(self, callback: Callable[[], object]) -> None:
        """Have ``callback`` called once when the stream is stopped; at once if it is stopped already.

        The callback must end whatever the generator may be blocked in: it closes a connection, for example.
        """
        self.listens = True
        self._stop_callbacks.append(callback)
        # Where the generator has a thread of its own, ``stop_generating`` may be calling them at this moment.
        if self.is_stopped and (pending := self._next_stop_callback()) is not None:
            pending()

    def _next_stop_callback(self) -> Callable[[], object] | None:
        try:
            return self._stop_callbacks.pop(0)
        except IndexError:
            return None

    def wait(self, seconds: float | None) -> bool:
        """Wait for ``seconds``, None: without a limit. Returns True at once when the stream is stopped, else False."""
        self.listens = True
        if self.is_stopped:
            return True
        if self._stop_flag is None:
            self._stop_flag = _new_flag()
            # Where the generator has a thread of its own, it may have been stopped at this moment.
            if self.is_stopped:
                return True
        # None is a time limit of both kinds of Event, but the types of gevent's have it apart.
        return self._stop_flag.wait(seconds)  # type: ignore[arg-type]

    def use_threads(self) -> None:
        """Have ``wait`` wait in a thread; called by a stream whose generator has one of its own."""
        if self._stop_flag is None:
            # At once: several threads may begin to wait at the same time.
            self._stop_flag = threading.Event()
            if self.is_stopped:
                self._stop_flag.set()

    def allow_commit(self) -> None:
        """Say that the answer turned out to be a stream, although the request did not ask for one."""
        if not self.may_commit:
            self.may_commit = True
            if self.on_commit_allowed is not None:
                self.on_commit_allowed()

    def fail(self, reason: str) -> None:
        """Record that the answer is not whole although its body will end properly: the outcome is *error*."""
        self.failure = reason
