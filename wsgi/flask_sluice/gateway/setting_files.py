"""Settings and keys in files: SLUICE_ENV_FILE, and the variables whose names end with _FILE. A reload reads them again."""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

PREFIX = "SLUICE_"
ENV_FILE = PREFIX + "ENV_FILE"
_MAX_BYTES = 1024 * 1024


class SettingsError(Exception):
    """The gateway cannot start. The message is one line that names the variable, its value and the values it takes."""


def with_env_file(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with the settings of SLUICE_ENV_FILE; those that the environment has itself stay.

    Raises SettingsError.
    """
    path = environment.get(ENV_FILE)
    return dict(environment) if path is None else {**read_env_file(path), **environment}


def read_env_file(path: str) -> dict[str, str]:
    """Return a file's settings, ``NAME=value`` on each line. Raises SettingsError."""
    settings: dict[str, str] = {}
    for number, line in _lines(ENV_FILE, path):
        if line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        name = name.removeprefix("export ").strip()
        where = f"{ENV_FILE}: line {number} of {path}"
        if not equals:
            raise SettingsError(f"{where} is not NAME=value")
        if not name.startswith(PREFIX) or name == ENV_FILE:
            raise SettingsError(f"{where} takes a setting of Sluice, not {name[:80]!r}")
        if name in settings:
            raise SettingsError(f"{where} sets {name}, which a line above it has set")
        settings[name] = _unquoted(value.strip())
    return settings


def read_keys(variable: str, path: str) -> str:
    """Return the keys of a file, comma-separated. They are one on each line, or comma-separated, with comments after a #.

    Raises SettingsError.
    """
    lines = [re.split(r"(?:^|\s)#", line)[0] for _, line in _lines(variable, path)]
    keys = [key.strip() for line in lines for key in line.split(",")]
    if not any(keys):
        raise SettingsError(f"{variable}: {path} has no key")
    return ",".join(key for key in keys if key)


def read_password(variable: str, path: str) -> str:
    """Return the one line of a file, with all its characters. Raises SettingsError."""
    lines = _lines(variable, path)
    if len(lines) != 1:
        raise SettingsError(f"{variable}: {path} has {len(lines)} lines with text, takes one")
    return lines[0][1]


def warnings(environment: Mapping[str, str]) -> list[str]:
    """Return what may not be meant with files that can be read: one line for each."""
    found = []
    settings = with_env_file(environment)
    if (path := environment.get(ENV_FILE)) is not None:
        found = [
            f"{name} of {path} is not used: the environment sets it, too"
            for name, value in read_env_file(path).items()
            if environment.get(name, value) != value
        ]
    for name, path in settings.items():
        if name.startswith(PREFIX) and name.endswith("_FILE"):
            mode = Path(path).stat().st_mode
            if mode & stat.S_IROTH:
                found.append(f"every user of this host can read {path}: chmod o-r {path}")
    return found


def _lines(variable: str, path: str) -> list[tuple[int, str]]:
    """Return the lines that have text, without the space around it, and their numbers."""
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise SettingsError(f"{variable}: {path} is not a file")
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"{variable}: {path} cannot be read: {error.strerror}") from None
    if len(data) > _MAX_BYTES:
        raise SettingsError(f"{variable}: {path} is larger than 1 MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError(f"{variable}: {path} is not text in UTF-8") from None
    lines = enumerate(text.replace("\r\n", "\n").split("\n"), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def _open_without_waiting(path: str, flags: int) -> int:
    # A pipe would wait for its writer.
    return os.open(path, flags | os.O_NONBLOCK)


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value
