"""How a stream behaves towards its client."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StreamOptions:
    """The defaults are those of the settings, and stand only here.

    keepalive_seconds: a comment is sent when nothing was written for so long; 0: never. 15 is well under
        the 60 s after which nginx and most load balancers give up a silent connection
    keepalive_blank_line: whether a blank line follows it; some old clients take that for an empty event
    channel_size: how many events may wait between generator and socket
    write_timeout_seconds: a client whose kernel takes no byte for so long is dropped
    idle_timeout_seconds: how long a stream may wait for its next event; None: any time
    deadline_seconds: how long the whole stream may take; None: any time
    """

    keepalive_seconds: float = 15
    keepalive_blank_line: bool = True
    channel_size: int = 8
    write_timeout_seconds: float = 30
    idle_timeout_seconds: float | None = None
    deadline_seconds: float | None = None

    @property
    def keepalive(self) -> bytes:
        if not self.keepalive_seconds:
            return b""
        return b": keep-alive\n\n" if self.keepalive_blank_line else b": keep-alive\n"
