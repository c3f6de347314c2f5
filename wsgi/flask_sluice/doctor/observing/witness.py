"""What tells whether a server still runs a stream that its reader has left."""

import time
from dataclasses import dataclass
from typing import Protocol

from flask_sluice.doctor.http.request import HttpRequest

_RUNNING_SECONDS = 3.0
_POLL_SECONDS = 0.05
_SLOWEST_POLL_SECONDS = 0.5


class CannotTellError(Exception):
    """The witness says nothing that can be relied on; the message says why."""


@dataclass(frozen=True)
class Seen:
    """The server has closed the stream.

    seconds: after the reader had left, below 0 if before
    is_early: True: the server says that it was before the stream's own end; None: the witness cannot tell
    """

    seconds: float
    is_early: bool | None


class Watch(Protocol):
    """Watches one stream."""

    def asking(self, request: HttpRequest) -> HttpRequest:
        """Return the request for the stream that is to be watched."""

    def is_running(self) -> bool:
        """Whether the server runs the stream now. Raises CannotTellError."""

    def closed(self, left_at: float) -> Seen | None:
        """Return when the server closed the stream; None if it still runs. Raises CannotTellError.

        left_at: when the reader left, in Unix seconds
        """


class Witness(Protocol):
    """Watches streams, one after the other.

    name: what it is, for "… says that"
    slack_seconds: how late it may tell
    may_stick: whether it may go on to count a stream that is over, until there is another
    """

    @property
    def name(self) -> str: ...

    @property
    def slack_seconds(self) -> float: ...

    @property
    def may_stick(self) -> bool: ...

    def watch(self) -> Watch:
        """Return the watch of a stream that is about to be asked for. Raises CannotTellError."""


def wait_until_running(watch: Watch) -> bool:
    """Wait until the server is seen to run the stream; return whether it is."""
    until = time.monotonic() + _RUNNING_SECONDS
    while not watch.is_running():
        if time.monotonic() > until:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def wait_until_closed(watch: Watch, left_at: float, seconds: float) -> Seen | None:
    """Wait for so long until the server has closed the stream. Asks less often the longer it takes."""
    pause = _POLL_SECONDS
    until = time.monotonic() + seconds
    while (seen := watch.closed(left_at)) is None and time.monotonic() < until:
        time.sleep(pause)
        pause = min(pause * 1.3, _SLOWEST_POLL_SECONDS)
    return seen
