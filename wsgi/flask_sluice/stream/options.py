"""The options of a stream, with their defaults, and what an app's config says instead."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple


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


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class _Option(NamedTuple):
    """A field of StreamOptions, and which values it takes."""

    field: str
    takes: str
    is_valid: Callable[[Any], bool]


def _seconds(field: str) -> _Option:
    return _Option(field, "a number of seconds > 0", lambda value: _is_number(value) and value > 0)


_KEEPALIVE = _Option(
    "keepalive_seconds",
    "a number of seconds >= 0, of which 0 means never",
    lambda value: _is_number(value) and value >= 0,
)
_DEADLINE = _seconds("deadline_seconds")
_SETTINGS = {
    "SLUICE_KEEPALIVE_SECONDS": _KEEPALIVE,
    "SLUICE_KEEPALIVE_BLANK_LINE": _Option(
        "keepalive_blank_line", "True or False", lambda value: value in (True, False)
    ),
    "SLUICE_CHANNEL_SIZE": _Option(
        "channel_size", "an integer >= 1", lambda value: type(value) is int and value >= 1
    ),
    "SLUICE_WRITE_TIMEOUT_SECONDS": _seconds("write_timeout_seconds"),
    "SLUICE_IDLE_TIMEOUT_SECONDS": _seconds("idle_timeout_seconds"),
    "SLUICE_STREAM_TIMEOUT_SECONDS": _DEADLINE,
}
_OPTIONS = {**_SETTINGS, "keepalive": _KEEPALIVE, "deadline": _DEADLINE}


def stream_options(
    config: Mapping[str, Any], keepalive: float | None, deadline: float | None
) -> StreamOptions:
    """Return the options of a stream: the call's, or else the config's, or else the defaults.

    config: the app's
    keepalive, deadline: the call's, in seconds; None: not given

    Raises ValueError, with the option's name, for a value that it does not take.
    """
    given = [(name, config[name]) for name in _SETTINGS if config.get(name) is not None]
    if keepalive is not None:
        given.append(("keepalive", keepalive))
    if deadline is not None:
        given.append(("deadline", deadline))
    return _checked(*given)


@lru_cache(maxsize=64)
def _checked(*given: tuple[str, Any]) -> StreamOptions:
    fields = {}
    for name, value in given:
        option = _OPTIONS[name]
        if not option.is_valid(value):
            raise ValueError(f"{name} takes {option.takes}, got {value!r}")
        fields[option.field] = value
    return StreamOptions(**fields)
