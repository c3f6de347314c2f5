"""The gateway's settings: environment variables that begin with ``SLUICE_``, with their types, defaults and meanings."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flask_sluice.extension.ticket_signer import parse_keys
from flask_sluice.gateway import setting_values as values
from flask_sluice.journal.redis.servers.credentials import PasswordFile, RedisCredentials
from flask_sluice.stream.options import StreamOptions

_STREAM = StreamOptions()
_MIB = 1024 * 1024


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
_FILE = (values.parse_path, "the path of a file")
_FOLDER = (values.parse_path, "the path of a folder")
_SWITCH = (values.parse_switch, "0 or 1")


@dataclass(frozen=True, slots=True)
class Settings:
    """One field for each variable; ``describe_settings`` tells the meaning of each."""

    env_file: str = _setting(
        "",
        *_FILE,
        "A file with further settings, `NAME=value` on each line; a reload reads it again.",
    )
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
    upstream_api_key_file: str = _setting(
        "", *_FILE, "A file with this key in place of the variable; a reload reads it again."
    )
    upstream_key_header: str = _setting(
        "auto",
        values.parse_key_header,
        "authorization, api-key, x-api-key, x-goog-api-key, or auto",
        "The header that this key is sent in; auto: the one that the route's API wants.",
    )
    pass_headers: tuple[str, ...] = _setting(
        (),
        values.parse_header_names,
        "header names, comma-separated, with a * at the end for all that begin so; "
        "not Host, Content-Length, Connection or others that are for one hop only",
        "More request headers that are passed to the upstream.",
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
    upstream_health_path: str = _setting(
        "",
        values.parse_health_path,
        "a path at the upstream's host, such as /health",
        "Where each upstream is asked every 5 s how it is; it is out after three answers that are not 2xx, or too late.",
    )
    max_event_bytes: int = _setting(
        16 * _MIB,
        *_COUNT,
        "The largest event that is taken from an upstream; a worker holds eight times as much of unfinished ones in all.",
    )
    record: str = _setting(
        "",
        *_FOLDER,
        "A folder into which each exchange with an upstream is written, without its keys, one file for each.",
    )
    replay: str = _setting(
        "", *_FOLDER, "A folder of such files, which answer in place of the simulator."
    )
    replay_speed: float = _setting(
        1.0,
        values.parse_speed,
        "a number > 0, or max for without pauses",
        "How many times as fast as it was recorded an answer comes.",
    )
    api_keys: tuple[str, ...] = _setting(
        (),
        parse_keys,
        "keys of at least 16 characters without spaces, comma-separated",
        "The keys of which every request below /v1 has to send one; without any, the API is open.",
        is_secret=True,
    )
    api_keys_file: str = _setting(
        "",
        *_FILE,
        "A file with these keys in place of the variable, one on each line; a reload reads it again.",
    )
    secret_key: tuple[str, ...] = _setting(
        (),
        parse_keys,
        "keys of at least 16 characters without spaces, comma-separated",
        "The keys that sign the tickets in streams' URLs, and those of a hand-off: the first signs, all are accepted; without any, "
        "the API keys sign the former, and nothing is handed over.",
        is_secret=True,
    )
    demo: bool = _setting(
        False,
        *_SWITCH,
        "Whether /stream_chat, which asks for no key, is there also with API keys or an upstream.",
    )
    secret_key_file: str = _setting(
        "",
        *_FILE,
        "A file with these keys in place of the variable, one on each line; a reload reads it again.",
    )
    models: tuple[str, ...] = _setting(
        (),
        values.parse_names,
        "model names, comma-separated",
        "The model names that are accepted and listed; without any, every name is accepted.",
    )
    scenario: str = _setting(
        "",
        *_FILE,
        "A TOML file that says how the simulator answers which request; a change is taken over within a second.",
    )
    simulator_token: str = _setting(
        "",
        values.parse_key,
        "a key without spaces",
        "The key of the routes below /simulator, by which a test reads what the simulator was sent; without it no request is "
        "remembered.",
        is_secret=True,
    )
    max_streams: int = _setting(
        9000, *_COUNT, "How many streams one worker may have open; one more request gets 503."
    )
    max_body_bytes: int = _setting(10 * _MIB, *_COUNT, "The largest request body that is read.")
    total_body_bytes: int = _setting(
        256 * _MIB,
        *_COUNT,
        "How much one worker holds of all request bodies together; a request beyond it gets 503.",
    )
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
    allowed_hosts: tuple[str, ...] = _setting(
        (),
        values.parse_hosts,
        "host names and IP addresses without ports, comma-separated, or * alone",
        "The names in Host that are answered beside localhost and the bound address; without any, and with API keys, all are.",
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
        "Whether a blank line follows each comment; several clients take it for an empty event.",
    )
    channel_size: int = _setting(
        _STREAM.channel_size, *_COUNT, "How many events may wait between generator and socket."
    )
    write_timeout_seconds: float = _setting(
        _STREAM.write_timeout_seconds,
        *_SECONDS,
        "A client that accepts no byte of a stream, or less than 4 KiB/s of another answer, for so long is dropped.",
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
    drain_delay_seconds: float = _setting(
        0.0,
        values.parse_number,
        "a number of seconds, 0 for none",
        "How long all is still served after SIGTERM while /readyz says `draining`.",
    )
    redis_url: str = _setting(
        "",
        values.parse_redis_url,
        "redis://, rediss://, unix://, redis+cluster:// or redis+sentinel:// and an address",
        "The Redis that keeps resumable streams and counts requests; without one, each worker's memory does.",
        is_secret=True,
    )
    redis_password_file: str = _setting(
        "",
        *_FILE,
        "A file with the password that the URL lacks; it is read whenever a worker connects, and every minute.",
    )
    history_bytes: int = _setting(4 * _MIB, *_COUNT, "How much of one resumable stream is kept.")
    history_seconds: float = _setting(
        300.0, *_SECONDS, "How long a resumable stream is kept after its end."
    )
    total_history_bytes: int = _setting(
        256 * _MIB,
        *_COUNT,
        "How much one worker keeps of all resumable streams together; beyond it, finished ones go first.",
    )
    channel_history_seconds: float = _setting(
        300.0,
        *_SECONDS,
        "How long an app keeps the events of its channels, whose readers it hands over; the same as in the app.",
    )
    abandon_seconds: float = _setting(
        60.0, *_SECONDS_OR_NEVER, "A resumable stream without a reader is stopped after so long."
    )
    streams_per_client: int = _setting(
        20,
        *_COUNT,
        "How many resumable streams one client may have running on a worker.",
    )
    client_is: str = _setting(
        "user",
        values.parse_client,
        "user, address or key",
        "What counts as one client of resumable streams that are asked for with a key: the user that the body names, else the "
        "address; the address; or the key.",
    )

    @property
    def redis_credentials(self) -> RedisCredentials | None:
        """What Redis is given in place of a password in its URL."""
        return PasswordFile(self.redis_password_file) if self.redis_password_file else None

    @property
    def generation_options(self) -> StreamOptions:
        """Of an answer that is generated into its history, and not for one client."""
        return StreamOptions(
            keepalive_seconds=0,
            idle_timeout_seconds=self.idle_timeout_seconds,
            deadline_seconds=self.stream_timeout_seconds,
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
