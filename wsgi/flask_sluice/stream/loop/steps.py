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
    """Wait until ``sock`` is readable. At the deadline TimeoutError is raised at the ``yield``.

    deadline: monotonic seconds
    """

    sock: socket.socket
    deadline: float


class UntilWritable(msgspec.Struct, frozen=True):
    """Wait until ``sock`` takes bytes again; otherwise like ``UntilReadable``."""

    sock: socket.socket
    deadline: float


class UntilDone(msgspec.Struct, frozen=True):
    """Run ``call``, which may block, in another greenlet. The ``yield`` returns or raises what ``call`` does.

    undo: called with the result of ``call`` if the work was closed meanwhile
    """

    call: Callable[[], Any]
    undo: Callable[[Any], object]


Wait = UntilReadable | UntilWritable | UntilDone

Steps = Generator[Wait, Any, T]
"""Work that takes a while without blocking: a generator that yields its waits and returns its result."""


class StepRunner(Generic[T]):
    """Runs a generator from wait to wait until it returns.

    While the generator waits it costs two watchers of the loop. A greenlet would add 8 KiB to every stream in its
    prefill, and two switches to every answer.

    steps: run by the caller of ``start``, and then by the loop, so between its waits it must neither block nor switch. A
        generator that yields the same wait again saves a watcher. It is closed at its ``yield`` by ``close``
    on_opened: called with the result of ``steps``, in ``start`` or by the loop
    on_failed: called with the exception that ``steps`` raised, likewise
    """

    __slots__ = (
        "_call",
        "_caller",
        "_deadline",
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
        """The wait that the watcher is for."""
        self._watcher: Any = None
        self._timer: Any = None
        self._deadline = 0.0
        """The deadline that the timer is for, in monotonic seconds."""
        self._caller: PooledGreenlet | None = None
        self._call: UntilDone | None = None
        self._is_closed = False

    def start(self) -> None:
        """Run up to the first wait."""
        self._go_on()

    def close(self) -> None:
        """Give up: close the generator. Does not block; neither callback is called any more."""
        self._is_closed = True
        self._stop_watching()
        self._stop_timer()
        if self._caller is not None:
            self._caller.interrupt(self._do_call)
        self._steps.close()

    def _go_on(self, result: object = None, error: Exception | None = None) -> None:
        try:
            wait = self._steps.send(result) if error is None else self._steps.throw(error)
        except StopIteration as end:
            self._end()
            self._on_opened(end.value)
        except Exception as failure:  # noqa: BLE001 - ``on_failed`` gets it
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
            self._caller = registry.greenlet_pool().start(self._do_call)
            return
        if wait.deadline != self._deadline:
            self._start_timer(wait.deadline)
        if wait is not self._wait:
            self._stop_watching()
            self._wait = wait
            events = _READ if isinstance(wait, UntilReadable) else _WRITE
            self._watcher = get_hub().loop.io(wait.sock.fileno(), events)
            self._watcher.start(self._go_on)

    # A call that may block.

    def _do_call(self) -> None:
        """Runs in a greenlet of the pool."""
        assert self._call is not None
        result, error = None, None
        try:
            result = self._call.call()
        except Exception as raised:  # noqa: BLE001 - ``steps`` gets it
            error = raised
        # The generator goes on in the loop: it must not block, and this greenlet is free for another call.
        get_hub().loop.run_callback(self._has_called, result, error)

    def _has_called(self, result: object, error: Exception | None) -> None:
        call, self._call, self._caller = self._call, None, None
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
        # update: the loop's clock stands still during a turn, and the timer would be early by the turn's length.
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
