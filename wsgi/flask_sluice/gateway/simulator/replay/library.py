"""The recordings of a folder, and which of them answers a request."""

import json
import logging
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask_sluice.gateway.relay.recording.files import SUFFIX
from flask_sluice.gateway.simulator.replay.asked import Asked
from flask_sluice.gateway.simulator.replay.recording import (
    InvalidRecordingError,
    Recording,
    read,
    read_request,
)

logger = logging.getLogger("sluice.replay")

_MAX_ROUTES_TOLD = 8
_MAX_TEXT_TOLD = 60
_MAX_COMPARED = 100
_Stamp = tuple[int, int]


class Library:
    """Knows the recordings of a folder, and how often each request was played; each worker has its own."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._stamps: dict[str, _Stamp] = {}
        self._recordings: dict[str, Recording] = {}
        self._played: Counter[tuple[str, str, str]] = Counter()

    def read_all(self) -> None:
        """Read all files. Raises InvalidRecordingError for one that is not a recording, or cannot be read."""
        self._read_changed(self._raise)

    def refresh(self) -> None:
        """Read the files that are new or have changed, and log those that cannot be read."""
        self._read_changed(_log)

    def find(self, asked: Asked) -> Recording | None:
        """Return the recording that answers this request, None if none does.

        It is one of the same method and path and, in this order, of the same body; of the same question to the same model;
        of any body where either was not recorded. Of several the first that was not played yet is taken, at last the last.
        """
        self.refresh()
        same_route = [
            each
            for each in self._in_order()
            if (each.asked.method, each.asked.target) == (asked.method, asked.target)
        ]
        for kind, fits in _WAYS:
            fitting = [each for each in same_route if fits(each.asked, asked)]
            if fitting:
                key = (kind, asked.target, asked.body if kind == "body" else asked.meaning)
                number = self._played[key]
                self._played[key] += 1
                return fitting[min(number, len(fitting) - 1)]
        return None

    def explain(self, asked: Asked, fields: dict[str, Any]) -> str:
        """Return why no recording answers the request. fields: the request as a recording's first line"""
        recordings = self._in_order()
        request = f"{asked.method} {asked.target}"
        if not recordings:
            return f"no recording answers {request}: there are none in {self.folder}"
        of_route = [each for each in recordings if each.asked.route == asked.route]
        told = f"no recording in {self.folder} answers {request}"
        if of_route:
            recorded = [(each, read_request(each.path)) for each in of_route[-_MAX_COMPARED:]]
            nearest, its_fields = max(recorded, key=lambda each: _likeness(each[1], fields))
            told += f": {nearest.path.name} differs in {_difference(its_fields, fields)}"
        routes = Counter(each.asked.route for each in recordings).most_common()
        listed = ", ".join(f"{route} ({count})" for route, count in routes[:_MAX_ROUTES_TOLD])
        more = ", and more" if len(routes) > _MAX_ROUTES_TOLD else ""
        return f"{told}; recorded are {listed}{more}"

    def _in_order(self) -> list[Recording]:
        return [self._recordings[name] for name in sorted(self._recordings)]

    def _read_changed(self, report: Callable[[Exception], None]) -> None:
        """Read the files that are new or have changed, and forget those that are gone."""
        try:
            found = {
                entry.name: _stamp(entry.stat())
                for entry in os.scandir(self.folder)
                if entry.name.endswith(SUFFIX) and entry.is_file()
            }
        except OSError as error:
            report(InvalidRecordingError(f"{self.folder} cannot be read: {error.strerror}"))
            return
        for name in self._stamps.keys() - found.keys():
            del self._stamps[name]
            self._recordings.pop(name, None)
        for name, stamp in found.items():
            if self._stamps.get(name) == stamp:
                continue
            self._stamps[name] = stamp
            path = Path(self.folder, name)
            try:
                self._recordings[name] = read(path)
            except InvalidRecordingError as error:
                self._recordings.pop(name, None)
                report(error)
            except OSError as error:
                self._recordings.pop(name, None)
                report(InvalidRecordingError(f"{path} cannot be read: {error.strerror}"))

    def _raise(self, error: Exception) -> None:
        raise error


def _log(error: Exception) -> None:
    logger.warning("a recording is left out: %s", error)


def _stamp(status: os.stat_result) -> _Stamp:
    return (status.st_mtime_ns, status.st_size)


def _is_of_the_same_body(recorded: Asked, asked: Asked) -> bool:
    return recorded.body == asked.body and not recorded.is_opaque


def _is_of_the_same_meaning(recorded: Asked, asked: Asked) -> bool:
    return bool(asked.meaning) and recorded.meaning == asked.meaning


def _cannot_be_compared(recorded: Asked, asked: Asked) -> bool:
    return recorded.is_opaque and asked.is_opaque


_WAYS: tuple[tuple[str, Callable[[Asked, Asked], bool]], ...] = (
    ("body", _is_of_the_same_body),
    ("meaning", _is_of_the_same_meaning),
    ("opaque", _cannot_be_compared),
)


def _likeness(recorded: dict[str, Any], asked: dict[str, Any]) -> int:
    """Return how many fields of the bodies are the same."""
    one, other = recorded.get("json"), asked.get("json")
    if not isinstance(one, dict) or not isinstance(other, dict):
        return 0
    return sum(name in other and other[name] == value for name, value in one.items())


def _difference(recorded: dict[str, Any], asked: dict[str, Any]) -> str:
    """Name the first place where two requests differ, with both values."""
    if recorded["path"] != asked["path"]:
        return f"its path, {recorded['path']}"
    if "json" not in recorded or "json" not in asked:
        return "its body"
    place, was, is_now = _first_difference(recorded["json"], asked["json"], "")
    return f"{place or 'its body'}: recorded {_short(was)}, asked {_short(is_now)}"


def _first_difference(was: Any, is_now: Any, place: str) -> tuple[str, Any, Any]:
    if isinstance(was, dict) and isinstance(is_now, dict):
        for name in [*was, *(name for name in is_now if name not in was)]:
            if was.get(name, _NOTHING) != is_now.get(name, _NOTHING):
                inner = f"{place}.{name}" if place else name
                return _first_difference(was.get(name, _NOTHING), is_now.get(name, _NOTHING), inner)
    if isinstance(was, list) and isinstance(is_now, list):
        for number, (one, other) in enumerate(zip(was, is_now, strict=False)):
            if one != other:
                return _first_difference(one, other, f"{place}[{number}]")
        return f"{place}'s length", len(was), len(is_now)
    return place, was, is_now


_NOTHING = "nothing"


def _short(value: Any) -> str:
    text = value if value == _NOTHING else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_TEXT_TOLD else f"{text[:_MAX_TEXT_TOLD]}…"
