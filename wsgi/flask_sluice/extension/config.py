"""What an app's config says of its streams and channels."""

import difflib
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from flask_sluice.extension.handed_readers import LOCATION
from flask_sluice.extension.ticket_signer import parse_keys
from flask_sluice.journal.redis.servers.credentials import (
    NoCredentialsError,
    PasswordFile,
    RedisCredentials,
)
from flask_sluice.journal.redis.servers.redis_url import RedisUrlError, read_url
from flask_sluice.stream.options import SETTINGS as STREAM_SETTINGS

logger = logging.getLogger("sluice")


@dataclass(frozen=True)
class ExtensionConfig:
    """The values of ``app.config``, checked. None: the default of what takes it.

    redis_url: None: this process's memory
    redis_password_file: the path of a file with the password that the URL lacks
    secret_key: signs the tickets of a hand-off; the same as that of ``sluice serve``
    handoff_location: the internal location of nginx, with a slash at both ends
    """

    redis_url: str | None = None
    redis_password_file: str | None = None
    history_bytes: int | None = None
    history_seconds: float | None = None
    abandon_seconds: float | None = None
    total_history_bytes: int | None = None
    streams_per_owner: int | None = None
    readers_per_owner: int | None = None
    channel_history_events: int | None = None
    channel_history_bytes: int | None = None
    channel_history_seconds: float | None = None
    secret_key: str | None = None
    handoff_location: str = LOCATION


class _Setting(NamedTuple):
    takes: str
    is_valid: Callable[[Any], bool]


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 1


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _are_keys(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        parse_keys(value)
    except ValueError:
        return False
    return True


_COUNT = _Setting("an integer >= 1", _is_count)
_SECONDS = _Setting("a number of seconds > 0", _is_seconds)
_SETTINGS = {
    "redis_url": _Setting("a URL such as redis://127.0.0.1:6379/0", _is_text),
    "redis_password_file": _Setting("the path of a file", _is_text),
    "history_bytes": _COUNT,
    "history_seconds": _SECONDS,
    "abandon_seconds": _Setting(
        "a number of seconds >= 0, of which 0 means never",
        lambda value: value == 0 or _is_seconds(value),
    ),
    "total_history_bytes": _COUNT,
    "streams_per_owner": _COUNT,
    "readers_per_owner": _COUNT,
    "channel_history_events": _COUNT,
    "channel_history_bytes": _COUNT,
    "channel_history_seconds": _SECONDS,
    "secret_key": _Setting(
        "keys of at least 16 characters without spaces, comma-separated", _are_keys
    ),
    "handoff_location": _Setting(
        "a path that begins and ends with a slash, such as /_sluice/",
        lambda value: _is_text(value) and value[0] == value[-1] == "/" and len(value) > 2,
    ),
}


def read_config(config: Mapping[str, Any]) -> ExtensionConfig:
    """Return what the config says, in names such as ``SLUICE_REDIS_URL``.

    Raises ValueError for a value that a setting does not take. A name that is not a setting is told in a warning.
    """
    fields = {}
    for field, setting in _SETTINGS.items():
        name = f"SLUICE_{field.upper()}"
        value = config.get(name)
        if value is None:
            continue
        if not setting.is_valid(value):
            # A URL and a key are secrets, also as bytes or in a list.
            is_secret = _is_text(value) or field in ("redis_url", "secret_key")
            shown = "" if is_secret else f", got {value!r}"
            raise ValueError(f"{name} takes {setting.takes}{shown}")
        fields[field] = value
    _warn_of_unknown(config)
    return ExtensionConfig(**fields)


def credentials_for(
    config: ExtensionConfig, given: RedisCredentials | None
) -> RedisCredentials | None:
    """Return what Redis is given: the program's credentials, or the file of the config. Raises ValueError, as for both."""
    path = config.redis_password_file
    if path is None:
        return given
    name = "SLUICE_REDIS_PASSWORD_FILE"
    if given is not None:
        raise ValueError(f"{name} is set, and redis_credentials are given; only one can be")
    if config.redis_url is None:
        raise ValueError(f"{name} is set, and SLUICE_REDIS_URL is not")
    # Another mistake in the URL is told where it is used.
    with suppress(RedisUrlError):
        if read_url(config.redis_url).password:
            raise ValueError(f"{name} is set, and SLUICE_REDIS_URL has a password; only one can")
    file = PasswordFile(path)
    try:
        file.get_credentials()
    except NoCredentialsError as error:
        raise ValueError(f"{name}: {error}") from None
    return file


def _warn_of_unknown(config: Mapping[str, Any]) -> None:
    known = [*STREAM_SETTINGS, *(f"SLUICE_{field.upper()}" for field in _SETTINGS)]
    for name in config:
        if name.startswith("SLUICE_") and name not in known:
            similar = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {similar[0]}?" if similar else ""
            logger.warning("app.config has %s, which is not a setting of Sluice%s", name, hint)
