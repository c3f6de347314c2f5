"""The options of a stream, with their defaults, and what an app's config says instead."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from flask_sluice.stream.context import StreamContext


@dataclass(frozen=True)
class StreamOptions:
    """How a stream behaves towards its client. The gateway's settings take their defaults from here.

    keepalive_seconds: the silence after which a comment is sent; 0: never. 15 is well under the 60 s after which
        nginx and most load balancers close a silent connection
    keepalive_blank_line: whether a blank line follows a comment. It is legal and dispatches nothing, but several clients
        make an empty event of it
    keepalive_event: sent instead of the comment; None: the comment
    channel_size: how many events may wait between generator and socket
    write_timeout_seconds: a client whose kernel takes no byte for so long is dropped
    idle_timeout_seconds: how long a stream may wait for its next event; None: without a limit
    deadline_seconds: how long the whole stream may take; None: without a limit
    """

    keepalive_seconds: float = 15
    keepalive_blank_line: bool = False
    keepalive_event: bytes | None = None
    channel_size: int = 8
    write_timeout_seconds: float = 30
    idle_timeout_seconds: float | None = None
    deadline_seconds: float | None = None

    @property
    def keepalive(self) -> bytes:
        """The bytes of one keep-alive; b"" if there are none."""
        if not self.keepalive_seconds:
            return b""
        return self.keepalive_event or self._comment(b": keep-alive\n")

    @property
    def preamble(self) -> bytes:
        """The comment that opens an EventSource before the first event."""
        return self._comment(b": stream\n")

    def _comment(self, line: bytes) -> bytes:
        # The line alone is complete wherever an event may begin: the next event's lines follow it.
        return line + b"\n" if self.keepalive_blank_line else line


_DEFAULTS = StreamOptions()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class _Option(NamedTuple):
    """What an option takes. field: of StreamOptions, if it is one of these"""

    field: str
    takes: str
    is_valid: Callable[[Any], bool]

    def check(self, name: str, value: object) -> None:
        """Raise ValueError, with the option's name, for a value that it does not take."""
        if not self.is_valid(value):
            raise ValueError(f"{name} takes {self.takes}, got {value!r}")


def _seconds(field: str) -> _Option:
    return _Option(field, "a number of seconds > 0", lambda value: _is_number(value) and value > 0)


def _seconds_or_0(field: str, meaning_of_0: str) -> _Option:
    return _Option(
        field,
        f"a number of seconds >= 0, of which 0 means {meaning_of_0}",
        lambda value: _is_number(value) and value >= 0,
    )


_KEEPALIVE = _seconds_or_0("keepalive_seconds", "never")
_DEADLINE = _seconds("deadline_seconds")
_HOLD_HEADERS = _seconds_or_0("", "not at all")
_INTERRUPT = _Option("", "True or False", lambda value: isinstance(value, bool))
SETTINGS = {
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


def stream_options(
    config: Mapping[str, Any], keepalive: float | None, deadline: float | None
) -> StreamOptions:
    """Return the options of a stream: the call's, or else the config's, or else the defaults.

    config: the app's
    keepalive, deadline: the call's, in seconds; None: not given

    Raises ValueError, with the option's name, for a value that it does not take.
    """
    given = [(name, SETTINGS[name], config[name]) for name in SETTINGS if name in config]
    given += [("keepalive", _KEEPALIVE, keepalive), ("deadline", _DEADLINE, deadline)]
    fields = {}
    for name, option, value in given:
        if value is not None:
            option.check(name, value)
            fields[option.field] = value
    return StreamOptions(**fields) if fields else _DEFAULTS


def check_arguments(
    *,
    hold_headers: object,
    interrupt: object,
    context: object,
    **functions: object,
) -> None:
    """Raise ValueError or TypeError, with the argument's name, for one that ``sse_response`` does not take.

    functions: the arguments that take a function, or None
    """
    _HOLD_HEADERS.check("hold_headers", hold_headers)
    _INTERRUPT.check("interrupt", interrupt)
    for name, function in functions.items():
        if function is not None:
            _check_function(name, function)
    if context is None:
        return
    if not isinstance(context, StreamContext):
        found = "the class itself" if context is StreamContext else type(context).__name__
        raise TypeError(f"context takes a StreamContext, such as StreamContext(), got {found}")
    if context.is_taken:
        raise RuntimeError("a StreamContext is for one stream; make another for each response")


def _check_function(name: str, function: object) -> None:
    if not callable(function):
        raise TypeError(
            f"{name} takes a function, got {type(function).__name__}: "
            f"pass the function itself, {name}=function, and not what it returns"
        )
    if inspect.iscoroutinefunction(function):
        raise TypeError(
            f"{name} takes a function that is written with `def`: a stream does not wait for an `async def`"
        )
