"""A scenario in a TOML file, which is read again when it has changed."""

import logging
import os
import time
from pathlib import Path

import msgspec

from flask_sluice.gateway.simulator.scenarios.scenario import (
    RunningScenario,
    ScenarioError,
    parse_scenario,
)

logger = logging.getLogger("sluice.simulator")

_LOOK_SECONDS = 0.5


def read_scenario(path: Path) -> RunningScenario:
    """Return the scenario of a file. Raises ScenarioError, whose message names the file."""
    try:
        return RunningScenario(parse_scenario(msgspec.toml.decode(path.read_bytes())))
    except OSError as error:
        raise ScenarioError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ScenarioError(f"{path} is not UTF-8") from None
    except msgspec.DecodeError as error:
        raise ScenarioError(f"{path} is not TOML: {error}") from None
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {error}") from None


class ScenarioFile:
    """The scenario that a file has now.

    Raises ScenarioError where the file is wrong at first; later the scenario that was there goes on, and a warning is logged.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._version = self._find_version()
        self._looked_at = time.monotonic()
        self._scenario = read_scenario(self._path)

    @property
    def current(self) -> RunningScenario:
        """The scenario; its counts begin anew when the file has changed."""
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            version = self._find_version()
            if version != self._version:
                self._version = version
                self._read_again()
        return self._scenario

    def _read_again(self) -> None:
        try:
            self._scenario = read_scenario(self._path)
        except ScenarioError as error:
            logger.warning("the scenario stays as it was: %s", error)
        else:
            logger.info("the scenario was read again from %s", self._path)

    def _find_version(self) -> tuple[int, int, int] | None:
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino
