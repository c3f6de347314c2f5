"""Work that waits without a greenlet of its own: a generator yields its waits, and the event loop does the waiting."""

import socket
import time
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

import msgspec
from gevent import get_hub

from flask_sluice.stream import registry
from flask_sluice.stream.loop.greenlet_pool import PooledGreenlet

_READ = 1
_WRITE = 2

T = TypeVar("T")


class UntilReadable(msgspec.Struct, frozen=True):
    """Goes on when ``sock`` has something to be read; TimeoutError is raised at its ``yield`` at the deadline.

    deadline: in monotonic seconds
    """

    sock: socket.socket
    deadline: float


class UntilWritable(msgspec.Struct, frozen=True):
    """The same, when ``sock`` takes bytes again."""

    sock: socket.socket
    deadline: float


class UntilDone(msgspec.Struct, frozen=True):
    """Goes on with what ``call`` returns, which may block, or with what it raises.

    undo: gets what ``call`` has returned when nobody wants it any more
    """

    call: Callable[[], Any]
    undo: Callable[[Any], object]


Wait = UntilReadable | UntilWritable | UntilDone

Steps = Generator[Wait, Any, T]
"""Work that takes a while without blocking: a generator that yields its waits and returns its result."""


class StepRunner(Generic[T]):
    """Runs a generator from wait to wait, until it returns what it has opened.

    While it waits it is two watchers of the loop. A greenlet would be 8 KiB more of every stream in its prefill, and
    two switches of every answer.

    steps: is run by whoever calls ``start``, then by the hub: must neither block nor switch between its waits. One
        that yields the same wait again spares a watcher. It is closed at its ``yield`` when nobody wants the
        result any more
    on_opened: gets what ``steps`` has returned. Like ``on_failed``, called in ``start`` or by the hub
    on_failed: gets what ``steps`` has raised
    """

    __slots__ = (
        "_call",
        "_deadline",
        "_helper",
        "_is_closed",
        "_on_failed",
        "_on_opened",
        "_steps",
        "_timer",
        "_wait",
        "_watcher",
    )

    def __init__(
        self,
        steps: Generator[Wait, Any, T],
        on_opened: Callable[[T], object],
        on_failed: Callable[[Exception], object],
    ) -> None:
        self._steps = steps
        self._on_opened = on_opened
        self._on_failed = on_failed
        self._wait: UntilReadable | UntilWritable | None = None
        """What the watcher is for."""
        self._watcher: Any = None
        self._timer: Any = None
        self._deadline = 0.0
        """What the timer is for, in monotonic seconds."""
        self._helper: PooledGreenlet | None = None
        self._call: UntilDone | None = None
        self._is_closed = False

    def start(self) -> None:
        self._go_on()

    def close(self) -> None:
        """Gives up. Does not block; neither callback is called any more."""
        self._is_closed = True
        self._stop_watching()
        self._stop_timer()
        if self._helper is not None:
            self._helper.interrupt(self._do_call)
        self._steps.close()

    def _go_on(self, result: object = None, error: Exception | None = None) -> None:
        try:
            wait = self._steps.send(result) if error is None else self._steps.throw(error)
        except StopIteration as end:
            self._end()
            self._on_opened(end.value)
        except Exception as failure:  # noqa: BLE001 - it is passed on
            self._end()
            self._on_failed(failure)
        else:
            self._begin(wait)

    def _end(self) -> None:
        self._is_closed = True
        self._stop_watching()
        self._stop_timer()

    def _begin(self, wait: Wait) -> None:
        if isinstance(wait, UntilDone):
            self._stop_watching()
            self._stop_timer()
            self._call = wait
            self._helper = registry.greenlet_pool().start(self._do_call)
            return
        if wait.deadline != self._deadline:
            self._start_timer(wait.deadline)
        if wait is not self._wait:
            self._stop_watching()
            self._wait = wait
            events = _READ if isinstance(wait, UntilReadable) else _WRITE
            self._watcher = get_hub().loop.io(wait.sock.fileno(), events)
            self._watcher.start(self._go_on)

    # A call that blocks.

    def _do_call(self) -> None:
        """In the helper's greenlet."""
        assert self._call is not None
        result, error = None, None
        try:
            result = self._call.call()
        except Exception as raised:  # noqa: BLE001 - ``steps`` gets it
            error = raised
        # Not from here: what comes now must not block, and this greenlet is free for another call.
        get_hub().loop.run_callback(self._has_called, result, error)

    def _has_called(self, result: object, error: Exception | None) -> None:
        call, self._call, self._helper = self._call, None, None
        assert call is not None
        if not self._is_closed:
            self._go_on(result, error)
        elif error is None:
            call.undo(result)

    # The loop's watchers.

    def _start_timer(self, deadline: float) -> None:
        self._stop_timer()
        self._deadline = deadline
        self._timer = get_hub().loop.timer(max(deadline - time.monotonic(), 0))
        # update: by the loop's own clock, which stands still during a turn, it would be early.
        self._timer.start(self._on_deadline, update=True)

    def _on_deadline(self) -> None:
        self._go_on(error=TimeoutError())

    def _stop_timer(self) -> None:
        self._deadline = 0.0
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def _stop_watching(self) -> None:
        self._wait = None
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
