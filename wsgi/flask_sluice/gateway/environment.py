"""Reads the gateway's settings from the environment, and describes them."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from flask_sluice.gateway.settings import Settings

PREFIX = "SLUICE_"


class SettingsError(Exception):
    """The gateway cannot start. The message is one line that names the variable, its value and the values it takes."""


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
