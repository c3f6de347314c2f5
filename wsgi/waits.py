"""What a generator waits for that never blocks itself: it yields one of these, and whoever runs it does the waiting.

So a wait costs no greenlet: see ``wsgi.stream.opening``.
"""

import socket
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import msgspec

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
"""What takes a while, and blocks nobody."""
