"""The gateway's settings: environment variables that begin with ``SLUICE_``, with their types, defaults and meanings."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from flask_sluice.gateway import setting_values as values
from flask_sluice.stream.options import StreamOptions

PREFIX = "SLUICE_"
_STREAM = StreamOptions()
_MIB = 1024 * 1024


class SettingsError(Exception):
    """The gateway cannot start. The message is one line that names the variable, its value and the values it takes."""


def _setting(
    default: object,
    parse: Callable[[str], object],
    takes: str,
    meaning: str,
    *,
    is_secret: bool = False,
) -> Any:
    metadata = {"parse": parse, "takes": takes, "meaning": meaning}
    return field(default=default, repr=not is_secret, metadata=metadata)


_SECONDS = (values.parse_positive_number, "a number of seconds > 0")
_SECONDS_OR_NEVER = (values.parse_number, "a number of seconds, 0 for never")
_COUNT = (values.parse_count, "a whole number, 1 to 999999999")
_SWITCH = (values.parse_switch, "0 or 1")


@dataclass(frozen=True, slots=True)
class Settings:
    """One field for each variable; ``describe_settings`` tells the meaning of each."""

    bind: str = _setting(
        "127.0.0.1:8080",
        values.parse_address,
        "HOST:PORT or unix:PATH",
        "The address where gunicorn listens.",
    )
    workers: int = _setting(1, *_COUNT, "The number of worker processes.")
    upstream: tuple[str, ...] = _setting(
        (),
        values.parse_urls,
        "http or https URLs, comma-separated",
        "The base URLs of OpenAI-compatible servers, with their /v1; without any, the simulator answers.",
    )
    upstream_api_key: str = _setting(
        "",
        values.parse_key,
        "a key without spaces",
        "The key that is sent to the upstream in place of the client's.",
        is_secret=True,
    )
    connect_timeout_seconds: float = _setting(
        5.0, *_SECONDS, "How long connecting to an upstream may take."
    )
    first_event_timeout_seconds: float = _setting(
        300.0, *_SECONDS, "How long an upstream may take to send its first event."
    )
    idle_timeout_seconds: float = _setting(
        120.0, *_SECONDS, "How long an upstream may be silent between two events."
    )
    api_keys: tuple[str, ...] = _setting(
        (),
        values.parse_keys,
        "keys without spaces, comma-separated",
        "The keys of which every request below /v1 has to send one; without any, the API is open.",
        is_secret=True,
    )
    models: tuple[str, ...] = _setting(
        (),
        values.parse_names,
        "model names, comma-separated",
        "The model names that are accepted and listed; without any, every name is accepted.",
    )
    max_streams: int = _setting(
        9000, *_COUNT, "How many streams one worker may have open; one more request gets 503."
    )
    max_body_bytes: int = _setting(10 * _MIB, *_COUNT, "The largest request body that is read.")
    body_timeout_seconds: float = _setting(
        60.0, *_SECONDS, "How long a client may take to send a request's body; then it gets 408."
    )
    rate_limit: str = _setting(
        "",
        values.parse_rate_limit,
        "limits such as 60/minute or 5/second;1000/day",
        "How many answers one key, or one address, may start in a given time.",
    )
    cors_origins: tuple[str, ...] = _setting(
        (),
        values.parse_origins,
        "origins such as https://example.com, comma-separated, or * alone",
        "The origins whose pages may use the API; * stands for every origin, without credentials.",
    )
    trusted_proxies: tuple[str, ...] = _setting(
        (),
        values.parse_proxies,
        "addresses, networks such as 10.0.0.0/8, and unix, comma-separated",
        "The proxies whose X-Forwarded-* headers are believed.",
    )
    keepalive_seconds: float = _setting(
        _STREAM.keepalive_seconds, *_SECONDS_OR_NEVER, "The silence after which a comment is sent."
    )
    keepalive_blank_line: bool = _setting(
        _STREAM.keepalive_blank_line,
        *_SWITCH,
        "Whether a blank line follows that comment; some old clients take it for an empty event.",
    )
    channel_size: int = _setting(
        _STREAM.channel_size, *_COUNT, "How many events may wait between generator and socket."
    )
    write_timeout_seconds: float = _setting(
        _STREAM.write_timeout_seconds,
        *_SECONDS,
        "A client that accepts no byte for so long is dropped.",
    )
    commit_seconds: float = _setting(
        10.0,
        *_SECONDS,
        "The silence after which the status 200 is sent without waiting for the first event.",
    )
    stream_timeout_seconds: float = _setting(3600.0, *_SECONDS, "How long a stream may take.")
    drain_seconds: float = _setting(
        120.0, *_SECONDS, "How long streams may go on after SIGTERM, a reload or max_requests."
    )
    redis_url: str = _setting(
        "",
        values.parse_redis_url,
        "redis://, rediss:// or unix:// and an address",
        "The Redis that keeps resumable streams and counts requests; without one, each worker's memory does.",
        is_secret=True,
    )
    history_bytes: int = _setting(4 * _MIB, *_COUNT, "How much of one resumable stream is kept.")
    history_seconds: float = _setting(
        300.0, *_SECONDS, "How long a resumable stream is kept after its end."
    )
    total_history_bytes: int = _setting(
        256 * _MIB, *_COUNT, "How much one worker keeps of all resumable streams together."
    )
    abandon_seconds: float = _setting(
        60.0, *_SECONDS_OR_NEVER, "A resumable stream without a reader is stopped after so long."
    )
    streams_per_client: int = _setting(
        20,
        *_COUNT,
        "How many resumable streams one key, or one address, may have running on a worker.",
    )

    @property
    def stream_options(self) -> StreamOptions:
        return StreamOptions(
            keepalive_seconds=self.keepalive_seconds,
            keepalive_blank_line=self.keepalive_blank_line,
            channel_size=self.channel_size,
            write_timeout_seconds=self.write_timeout_seconds,
            deadline_seconds=self.stream_timeout_seconds,
        )


@dataclass(frozen=True, slots=True)
class SettingDescription:
    """What the documentation says of one setting.

    variable: its name in the environment
    default: the default as text that the variable could have, "" for none
    takes: the values that are accepted
    meaning: one sentence
    """

    variable: str
    default: str
    takes: str
    meaning: str


def describe_settings() -> list[SettingDescription]:
    """Return a description of each setting, in the order of the documentation."""
    return [
        SettingDescription(
            PREFIX + setting.name.upper(),
            _as_text(setting.default),
            setting.metadata["takes"],
            setting.metadata["meaning"],
        )
        for setting in fields(Settings)
    ]


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Return the settings. Raises SettingsError for an unknown variable and for a value that is not accepted."""
    known = {PREFIX + setting.name.upper(): setting for setting in fields(Settings)}
    given: dict[str, Any] = {}
    for variable, text in environment.items():
        if not variable.startswith(PREFIX):
            continue
        setting = known.get(variable)
        if setting is None:
            raise SettingsError(_unknown(variable, list(known)))
        try:
            given[setting.name] = setting.metadata["parse"](text)
        except ValueError:
            got = repr(text) if setting.repr else "a value that is not shown"
            raise SettingsError(
                f"{variable}: got {got}, takes {setting.metadata['takes']}"
            ) from None
    settings = Settings(**given)
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
    # The prefix is left out of the comparison, since it would make all names alike.
    names = [name.removeprefix(PREFIX) for name in known]
    close = difflib.get_close_matches(variable.removeprefix(PREFIX).upper(), names, n=1, cutoff=0.7)
    hint = f"did you mean {PREFIX}{close[0]}?" if close else "docs/configuration.md lists them"
    return f"{variable} is not a setting; {hint}"


def _as_text(default: object) -> str:
    if isinstance(default, bool):
        return str(int(default))
    if isinstance(default, tuple):
        return ",".join(default)
    return f"{default:g}" if isinstance(default, float) else str(default)
