"""The options of a stream, with their defaults."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StreamOptions:
    """How a stream behaves towards its client. The gateway's settings take their defaults from here.

    keepalive_seconds: the silence after which a comment is sent; 0: never. 15 is well under the 60 s after which
        nginx and most load balancers close a silent connection
    keepalive_blank_line: whether a blank line follows a comment. It is legal and dispatches nothing, but several clients
        make an empty event of it
    channel_size: how many events may wait between generator and socket
    write_timeout_seconds: a client whose kernel takes no byte for so long is dropped
    idle_timeout_seconds: how long a stream may wait for its next event; None: without a limit
    deadline_seconds: how long the whole stream may take; None: without a limit
    """

    keepalive_seconds: float = 15
    keepalive_blank_line: bool = False
    channel_size: int = 8
    write_timeout_seconds: float = 30
    idle_timeout_seconds: float | None = None
    deadline_seconds: float | None = None

    @property
    def keepalive(self) -> bytes:
        """The bytes of one keep-alive; b"" if there are none."""
        if not self.keepalive_seconds:
            return b""
        return self._comment(b": keep-alive\n")

    @property
    def preamble(self) -> bytes:
        """The comment that opens an EventSource before the first event."""
        return self._comment(b": stream\n")

    def _comment(self, line: bytes) -> bytes:
        # The line alone is complete wherever an event may begin: the next event's lines follow it.
        return line + b"\n" if self.keepalive_blank_line else line
