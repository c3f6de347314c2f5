"""A scenario in a TOML file, which is read again when the file has changed."""

import logging
import re
import sys
import time
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from flask_sluice.gateway.simulator.scenarios.errors import ScenarioError
from flask_sluice.gateway.simulator.scenarios.recorded_times import times_of
from flask_sluice.gateway.simulator.scenarios.scenario import Scenario, make_scenario

logger = logging.getLogger("sluice.simulator")

_LOOK_SECONDS = 1.0
_MAX_BYTES = 1024 * 1024
_RULE = re.compile(r"\s*\[\[\s*rule\s*\]\]")


class ScenarioFile:
    """The scenario that a file has now. Raises ScenarioError if it is wrong at first.

    Where a later version of it is wrong, the scenario that was there goes on, and one line in the log says why.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._version = self._find_version()
        self._looked_at = time.monotonic()
        self._scenario = read_scenario(self._path)

    @property
    def path(self) -> Path:
        return self._path

    def current(self) -> Scenario:
        """Return the scenario, after a look at the file at most once a second. The counts of one read anew begin anew."""
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
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


def read_scenario(path: Path) -> Scenario:
    """Return the scenario of a file. Raises ScenarioError, whose message names the file, and the line where it is known."""
    try:
        if not path.is_file():
            raise ScenarioError(f"there is no file {path}")
        if path.stat().st_size > _MAX_BYTES:
            raise ScenarioError(f"{path} is larger than 1 MiB")
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise ScenarioError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ScenarioError(f"{path} is not text in UTF-8") from None
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ScenarioError(f"{path} is not TOML: {error}") from None
    try:
        return make_scenario(document, lambda name: times_of(path.parent / name))
    except ScenarioError as error:
        line = _line_of(text, error)
        where = str(path) if line is None else f"{path}, line {line}"
        raise ScenarioError(f"{where}: {error}", error.rule, error.field) from None


def _line_of(text: str, error: ScenarioError) -> int | None:
    """Return the line where the field is, or else where its rule begins; None where neither is found."""
    lines = text.splitlines()
    begin, end = 0, len(lines)
    if error.rule is not None:
        begins = [number for number, line in enumerate(lines) if _RULE.match(line)]
        if error.rule > len(begins):
            return None
        begin = begins[error.rule - 1]
        end = begins[error.rule] if error.rule < len(begins) else len(lines)
    for name in reversed(list(filter(None, error.field.split(".")))):
        field = re.compile(rf"(?:^|[\s{{,.\[\"'])({re.escape(name)})[\"']?\s*(?:=|\.|\])")
        for number in range(begin, end):
            if field.search(lines[number]):
                return number + 1
    return begin + 1 if error.rule is not None else None
