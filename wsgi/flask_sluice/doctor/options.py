"""What an examination is asked to do."""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flask_sluice.doctor.http.request import checked_url
from flask_sluice.doctor.report import GROUPS

_ORIGIN = re.compile(r"https?://[^/\s]+|null")
PRESETS = ("auto", "openai", "eventsource", "anthropic", "mcp")


class OptionError(ValueError):
    """The examination cannot be made as asked for; the message names the option and says what is wanted."""


class Depth(enum.IntEnum):
    """How much an examination sends and waits for."""

    QUICK = 0
    USUAL = 1
    THOROUGH = 2


_HEAD_SECONDS = {Depth.QUICK: 15.0, Depth.USUAL: 60.0, Depth.THOROUGH: 120.0}
_READ_SECONDS = {Depth.QUICK: 5.0, Depth.USUAL: 10.0, Depth.THOROUGH: 20.0}


@dataclass(frozen=True)
class Options:
    """The options of ``examine``, checked.

    url: the stream
    post: the body of a POST request; None: GET, or what the preset sends
    headers: further headers of each request, such as Authorization
    direct: the same stream without the proxies, or with fewer of them
    preset: one of PRESETS
    model: the model's name for the presets openai and anthropic; None: the first that the server lists
    read_seconds: how long a stream without an end is read; None: 5, 10 or 20 by depth
    metrics: the URL of metrics in Prometheus' text format; ``URL#name`` chooses one
    cacert: a file with certificate authorities to trust
    http2: speak HTTP/2, if the server does
    origin: examine CORS for pages of this origin
    groups: the groups of checks to make

    Raises OptionError, UrlError.
    """

    url: str
    post: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    direct: str | None = None
    preset: str = "auto"
    model: str | None = None
    depth: Depth = Depth.USUAL
    read_seconds: float | None = None
    metrics: str | None = None
    cacert: Path | None = None
    http2: bool = False
    origin: str | None = None
    groups: tuple[str, ...] = GROUPS

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", checked_url(self.url))
        if self.direct is not None:
            object.__setattr__(self, "direct", checked_url(self.direct))
        if self.metrics is not None:
            checked_url(self.metrics)
        if self.preset not in PRESETS:
            raise OptionError(f"the preset {self.preset!r} is none of {', '.join(PRESETS)}")
        for group in self.groups:
            if group not in GROUPS:
                raise OptionError(f"the group {group!r} is none of {', '.join(GROUPS)}")
        object.__setattr__(self, "groups", tuple(name for name in GROUPS if name in self.groups))
        if self.read_seconds is not None and not 0 < self.read_seconds <= 3600:
            raise OptionError(f"--for {self.read_seconds:g}: give 1 to 3600 seconds")
        if self.origin is not None and not _ORIGIN.fullmatch(self.origin):
            raise OptionError(f"--origin {self.origin}: give one like https://app.example")
        for name, value in self.headers.items():
            _check_header(name, value)

    @property
    def head_seconds(self) -> float:
        """How long the first byte of an answer may take; a model may read a long prompt for a minute."""
        return _HEAD_SECONDS[self.depth]

    @property
    def stream_seconds(self) -> float:
        """How long a stream without an end is read."""
        return _READ_SECONDS[self.depth] if self.read_seconds is None else self.read_seconds


def _check_header(name: str, value: str) -> None:
    is_token = name and name.isascii() and all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in name)
    if not is_token:
        raise OptionError(f"{name!r} is not a header's name; give -H 'Name: value'")
    if any((ord(letter) < 0x20 and letter != "\t") or ord(letter) > 0xFF for letter in value):
        raise OptionError(f"the value of the header {name} has characters that HTTP cannot carry")
