"""The environment, typed and checked: the variables that begin with ``SLUICE_``."""

import difflib
import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from flask_sluice.stream.options import StreamOptions

PREFIX = "SLUICE_"
_STREAM = StreamOptions()
_MIB = 1024 * 1024
_MAX_UNIX_PATH_BYTES = 107


class SettingsError(Exception):
    """The start must not go on: one line that names the variable, what it got and what it takes."""


def _number(text: str) -> float:
    # float() alone would also take "inf", "1_0" and "٣".
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise ValueError
    return float(text)


def _positive_number(text: str) -> float:
    if not (number := _number(text)):
        raise ValueError
    return number


def _positive_integer(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text) or not int(text):
        raise ValueError
    return int(text)


def _switch(text: str) -> bool:
    return {"0": False, "1": True}[text]


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name for part in text.split(",") if (name := part.strip()))
    if not names:
        raise ValueError
    return names


def _urls(text: str) -> tuple[str, ...]:
    urls = tuple(url.rstrip("/") for url in _names(text))
    for url in urls:
        parts = urlsplit(url)
        # A port that is none raises ValueError here; a user and a password belong into a key.
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError
        if parts.query or parts.fragment or parts.username is not None:
            raise ValueError
    return urls


def _token(text: str) -> str:
    if not re.fullmatch("[!-~]+", text):
        raise ValueError
    return text


def _tokens(text: str) -> tuple[str, ...]:
    return tuple(_token(token.strip()) for token in text.split(","))


def _redis_url(text: str) -> str:
    parts = urlsplit(text)
    # ``port`` raises ValueError where it is no number.
    if parts.scheme not in ("redis", "rediss", "unix") or parts.port == 0 or " " in text:
        raise ValueError
    if not (parts.path if parts.scheme == "unix" else parts.hostname):
        raise ValueError
    return text


def _rate_limits(text: str) -> str:
    # Not above: only who sets limits needs it, and importing it takes a twentieth of a second.
    from limits import parse_many  # noqa: PLC0415

    # "0/minute" would be a closed door; of "60/0 minutes" the parser makes 60/minute.
    if any(item.amount == 0 for item in parse_many(text)) or re.search(r"(/|per)\s*0", text, re.I):
        raise ValueError
    return text


def _origin(text: str) -> str:
    # As browsers write it, or it would never match: no path, no port that the scheme implies.
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*://([\w.-]+|\[[0-9a-f:.]+\])(:[0-9]+)?", text, re.ASCII):
        raise ValueError
    parts = urlsplit(text)
    if parts.port in (0, {"http": 80, "https": 443}.get(parts.scheme, 0)):
        raise ValueError
    return text


def _origins(text: str) -> tuple[str, ...]:
    names = _names(text)
    return names if names == ("*",) else tuple(_origin(name.lower()) for name in names)


def _proxies(text: str) -> tuple[str, ...]:
    names = _names(text)
    for name in names:
        if name != "unix":
            ipaddress.ip_network(name)
    return names


def _address(text: str) -> str:
    if text.startswith("unix:"):
        # A longer path does not fit into the kernel's address (unix(7)).
        if not 0 < len(os.fsencode(text.removeprefix("unix:"))) <= _MAX_UNIX_PATH_BYTES:
            raise ValueError
        return text
    # A name, an IPv4 address, or an IPv6 address in brackets.
    match = re.fullmatch(r"(?:[\w.-]+|\[[0-9a-fA-F:.]+\]):([0-9]{1,5})", text, re.ASCII)
    if match is None or not 0 < int(match[1]) < 65536:
        raise ValueError
    return text


def _setting(default: object, parse: Callable[[str], object], takes: str) -> Any:
    return field(default=default, metadata={"parse": parse, "takes": takes})


_SECONDS = (_positive_number, "a number of seconds > 0")
_SECONDS_OR_NEVER = (_number, "a number of seconds, 0 for never")
_COUNT = (_positive_integer, "a whole number, 1 to 999999999")
_SWITCH = (_switch, "0 or 1")


@dataclass(frozen=True, slots=True)
class Settings:
    """One field for each variable, with its default.

    bind: where gunicorn listens: HOST:PORT or unix:PATH
    workers: gunicorn's worker processes
    upstream: base URLs of OpenAI-compatible servers, with their /v1; none: the simulator answers
    upstream_api_key: sent to the upstream in place of the client's
    connect_timeout_seconds: how long connecting to an upstream may take
    first_event_timeout_seconds: how long an upstream may take to its first event
    idle_timeout_seconds: how long it may then be silent
    api_keys: of which a client has to send one; none: anybody may ask
    models: the model names that are accepted and listed; empty: any
    max_streams: how many streams a worker has open at once; one more gets 503
    max_body_bytes: the largest request body that is read
    body_timeout_seconds: how long a client may take to send one
    rate_limit: how many answers a key or an address may start in a time; empty: any number
    cors_origins: whose pages may use the API; ("*",): anybody's
    trusted_proxies: who is believed when it says for whom it asks: addresses, networks, "unix"
    commit_seconds: after so long without a first event the 200 is sent; until then a failure keeps its status
    stream_timeout_seconds: how long a stream may take in all
    drain_seconds: how long streams may go on after a worker was told to end
    redis_url: where resumable streams are kept; empty: in the worker's memory
    history_bytes: how much of a resumable stream is kept
    history_seconds: how long it is kept after its end
    total_history_bytes: how much a worker keeps of all resumable streams
    abandon_seconds: a resumable stream that nobody has read for so long is stopped; 0: never
    streams_per_client: how many resumable streams a key or an address may have running at a worker

    The others are those of ``StreamOptions``.
    """

    bind: str = _setting("127.0.0.1:8080", _address, "HOST:PORT or unix:PATH")
    workers: int = _setting(1, *_COUNT)
    upstream: tuple[str, ...] = _setting((), _urls, "http or https URLs, comma-separated")
    upstream_api_key: str = field(
        default="", repr=False, metadata={"parse": _token, "takes": "a key without spaces"}
    )
    connect_timeout_seconds: float = _setting(5.0, *_SECONDS)
    first_event_timeout_seconds: float = _setting(300.0, *_SECONDS)
    idle_timeout_seconds: float = _setting(120.0, *_SECONDS)
    api_keys: tuple[str, ...] = field(
        default=(),
        repr=False,
        metadata={"parse": _tokens, "takes": "keys without spaces, comma-separated"},
    )
    models: tuple[str, ...] = _setting((), _names, "model names, comma-separated")
    max_streams: int = _setting(9000, *_COUNT)
    max_body_bytes: int = _setting(10 * _MIB, *_COUNT)
    body_timeout_seconds: float = _setting(60.0, *_SECONDS)
    rate_limit: str = _setting("", _rate_limits, "limits such as 60/minute or 5/second;1000/day")
    cors_origins: tuple[str, ...] = _setting(
        (), _origins, "origins such as https://example.com, comma-separated, or * alone"
    )
    trusted_proxies: tuple[str, ...] = _setting(
        (), _proxies, "addresses, networks such as 10.0.0.0/8, and unix, comma-separated"
    )
    keepalive_seconds: float = _setting(_STREAM.keepalive_seconds, *_SECONDS_OR_NEVER)
    keepalive_blank_line: bool = _setting(_STREAM.keepalive_blank_line, *_SWITCH)
    channel_size: int = _setting(_STREAM.channel_size, *_COUNT)
    write_timeout_seconds: float = _setting(_STREAM.write_timeout_seconds, *_SECONDS)
    commit_seconds: float = _setting(10.0, *_SECONDS)
    stream_timeout_seconds: float = _setting(3600.0, *_SECONDS)
    drain_seconds: float = _setting(120.0, *_SECONDS)
    redis_url: str = field(
        default="",
        repr=False,
        metadata={"parse": _redis_url, "takes": "redis://, rediss:// or unix:// and an address"},
    )
    history_bytes: int = _setting(4 * _MIB, *_COUNT)
    history_seconds: float = _setting(300.0, *_SECONDS)
    total_history_bytes: int = _setting(256 * _MIB, *_COUNT)
    abandon_seconds: float = _setting(60.0, *_SECONDS_OR_NEVER)
    streams_per_client: int = _setting(20, *_COUNT)

    @property
    def stream_options(self) -> StreamOptions:
        return StreamOptions(
            keepalive_seconds=self.keepalive_seconds,
            keepalive_blank_line=self.keepalive_blank_line,
            channel_size=self.channel_size,
            write_timeout_seconds=self.write_timeout_seconds,
            deadline_seconds=self.stream_timeout_seconds,
        )


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Raises SettingsError for a variable that is not known or whose value is not taken."""
    known = {PREFIX + setting.name.upper(): setting for setting in fields(Settings)}
    values: dict[str, Any] = {}
    for variable, text in environment.items():
        if not variable.startswith(PREFIX):
            continue
        setting = known.get(variable)
        if setting is None:
            raise SettingsError(_unknown(variable, list(known)))
        try:
            values[setting.name] = setting.metadata["parse"](text)
        except (ValueError, KeyError):
            got = repr(text) if setting.repr else "a value that is not shown"
            raise SettingsError(
                f"{variable}: got {got}, takes {setting.metadata['takes']}"
            ) from None
    settings = Settings(**values)
    _check_together(settings)
    return settings


def _check_together(settings: Settings) -> None:
    has_addresses = not settings.bind.startswith("unix:") or "unix" in settings.trusted_proxies
    if settings.rate_limit and not (has_addresses or settings.api_keys):
        raise SettingsError(
            f"{PREFIX}RATE_LIMIT: behind a unix socket clients have no address to be counted by; "
            f"{PREFIX}TRUSTED_PROXIES=unix believes the proxy's X-Forwarded-For"
        )


def _unknown(variable: str, known: list[str]) -> str:
    # Without the prefix: sharing it makes no two names alike.
    names = [name.removeprefix(PREFIX) for name in known]
    close = difflib.get_close_matches(variable.removeprefix(PREFIX).upper(), names, n=1, cutoff=0.7)
    hint = f"; did you mean {PREFIX}{close[0]}?" if close else "; the README lists the settings"
    return f"{variable} is not a setting{hint}"
