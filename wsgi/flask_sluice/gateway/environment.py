"""Reads the gateway's settings from the environment and from files, and describes them."""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from flask_sluice.gateway.setting_files import (
    PREFIX,
    SettingsError,
    read_env_file,
    read_keys,
    read_password,
    with_env_file,
)
from flask_sluice.gateway.settings import Settings
from flask_sluice.journal.redis.servers.redis_url import RedisUrlError, read_url

__all__ = ["SettingsError", "describe_settings", "read_settings", "server_settings"]

_KEY_FILES = {
    PREFIX + "API_KEYS_FILE": PREFIX + "API_KEYS",
    PREFIX + "SECRET_KEY_FILE": PREFIX + "SECRET_KEY",
}
_FILES = {**_KEY_FILES, PREFIX + "UPSTREAM_API_KEY_FILE": PREFIX + "UPSTREAM_API_KEY"}
"""The variables that name a file, and those whose value it has."""
_REDIS_URL, _REDIS_PASSWORD_FILE = PREFIX + "REDIS_URL", PREFIX + "REDIS_PASSWORD_FILE"


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


@cache
def server_settings() -> Settings:
    """Return the settings of this server: those that its environment and its files had when it started or was reloaded.

    The master reads them, and the workers that it forks have them from it: a file that is being edited does not matter to
    a worker that takes the place of another.
    """
    return read_settings(os.environ)


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Return the settings. Raises SettingsError for an unknown variable, a value that is not accepted, and a file that
    cannot be read."""
    in_environment = environment
    environment = _with_files(with_env_file(environment))
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
        except ValueError as error:
            got = repr(text) if setting.repr else "a value that is not shown"
            path = environment.get(f"{variable}_FILE")
            if path is None and variable not in in_environment:
                path = environment[PREFIX + "ENV_FILE"]
            where = f" in {path}" if path else ""
            takes = setting.metadata["takes"]
            if isinstance(error, RedisUrlError):
                takes += f"; this one takes {error.takes}"
            raise SettingsError(f"{variable}: got {got}{where}, takes {takes}") from None
    settings = Settings(**given)
    _check_together(settings)
    return settings


def _with_files(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with the secrets whose files it names. Raises SettingsError."""
    settings = dict(environment)
    for file_variable, variable in _FILES.items():
        path = environment.get(file_variable)
        if not path:
            continue
        if variable in environment:
            raise SettingsError(f"{variable} and {file_variable} are both set; only one can be")
        read = read_keys if file_variable in _KEY_FILES else read_password
        settings[variable] = read(file_variable, path)
    if path := environment.get(_REDIS_PASSWORD_FILE):
        # Workers read it when they connect. What is wrong with it already is told now.
        read_password(_REDIS_PASSWORD_FILE, path)
    return settings


def plain_settings_of_env_file(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what the env file sets, without secrets: for what reads settings from the environment itself."""
    path = environment.get(PREFIX + "ENV_FILE")
    secret = {PREFIX + setting.name.upper() for setting in fields(Settings) if not setting.repr}
    in_file = {} if path is None else read_env_file(path)
    return {
        name: value
        for name, value in in_file.items()
        if name not in environment and name not in secret
    }


def _check_together(settings: Settings) -> None:
    has_addresses = not settings.bind.startswith("unix:") or "unix" in settings.trusted_proxies
    if settings.rate_limit and not (has_addresses or settings.api_keys):
        raise SettingsError(
            f"{PREFIX}RATE_LIMIT: behind a unix socket clients have no address to be counted by; "
            f"{PREFIX}TRUSTED_PROXIES=unix believes the proxy's X-Forwarded-For"
        )
    _check_folders(settings)
    if settings.redis_password_file:
        if not settings.redis_url:
            raise SettingsError(f"{_REDIS_PASSWORD_FILE} is set, and {_REDIS_URL} is not")
        if read_url(settings.redis_url).password:
            raise SettingsError(
                f"{_REDIS_PASSWORD_FILE} is set, and {_REDIS_URL} has a password; only one can"
            )


def _check_folders(settings: Settings) -> None:
    if settings.replay and settings.upstream:
        raise SettingsError(
            f"{PREFIX}REPLAY and {PREFIX}UPSTREAM are both set: either recordings answer, or the upstream does"
        )
    if settings.replay and settings.scenario:
        raise SettingsError(
            f"{PREFIX}REPLAY and {PREFIX}SCENARIO are both set: either recordings answer, or the scenario does"
        )
    if settings.record and not settings.upstream:
        raise SettingsError(
            f"{PREFIX}RECORD is set, and {PREFIX}UPSTREAM is not: what upstreams answer is recorded"
        )
    if settings.replay and not os.path.isdir(settings.replay):
        raise SettingsError(f"{PREFIX}REPLAY: there is no folder {settings.replay}")


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
