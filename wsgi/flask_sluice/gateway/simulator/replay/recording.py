"""Reads the file of one recorded exchange."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from flask_sluice.gateway.relay.recording.lines import VERSION
from flask_sluice.gateway.relay.recording.redaction import as_json
from flask_sluice.gateway.simulator.replay.asked import Asked

_ENDS = {"complete", "cut", "reset", "client_left", "given_up", "failed", "not_recorded"}


class InvalidRecordingError(Exception):
    """A file is not a recording. The message names it, the line, and what is wrong."""


class Part(msgspec.Struct):
    """What came at one moment.

    data: bytes of the body, b"" at the end
    end: how the exchange ended, with its fields; None if it has not
    """

    at_seconds: float
    data: bytes = b""
    end: dict[str, Any] | None = None


class Head(msgspec.Struct):
    """The status and the headers with which the answer began; 0: there was no answer."""

    at_seconds: float
    status: int
    headers: dict[str, str]


class Recording(msgspec.Struct, frozen=True):
    """One recorded exchange; its answer stays in the file.

    asked: what can be compared with another request
    is_whole: whether the file has its last line
    """

    path: Path
    asked: Asked
    is_whole: bool


def read(path: Path) -> Recording:
    """Read a file, and check all its lines. Raises InvalidRecordingError, or OSError."""
    lines = _lines(path)
    first = next(lines, None)
    if first is None:
        raise InvalidRecordingError(f"{path} is empty")
    asked = _asked(path, first[1])
    is_whole = False
    for number, fields in lines:
        if is_whole:
            raise InvalidRecordingError(f"line {number} of {path} stands behind the end")
        part = _part(path, number, fields)
        is_whole = isinstance(part, Part) and part.end is not None
    return Recording(path, asked, is_whole)


def read_request(path: Path) -> dict[str, Any]:
    """Return the first line of a file that has been read before."""
    return next(_lines(path))[1]


def parts(path: Path) -> Iterator[Head | Part]:
    """Yield the head and the parts of the answer, one by one from the file; a file without its end is cut there."""
    lines = _lines(path)
    next(lines)
    at_seconds = 0.0
    for number, fields in lines:
        part = _part(path, number, fields)
        yield part
        at_seconds = part.at_seconds
        if isinstance(part, Part) and part.end is not None:
            return
    yield Part(at_seconds, end={"end": "cut"})


def _asked(path: Path, fields: dict[str, Any]) -> Asked:
    version = fields.get("sluice_recording")
    if version != VERSION:
        raise InvalidRecordingError(
            f'line 1 of {path} is not the first of a recording: it has no "sluice_recording": {VERSION}'
        )
    for name in ("method", "path"):
        if not isinstance(fields.get(name), str):
            raise InvalidRecordingError(f'line 1 of {path} has no text "{name}"')
    return Asked.from_fields(fields)


def _part(path: Path, number: int, fields: dict[str, Any]) -> Head | Part:
    where = f"line {number} of {path}"
    at = fields.get("at_seconds")
    if isinstance(at, bool) or not isinstance(at, int | float) or at < 0:
        raise InvalidRecordingError(f'{where} has no number "at_seconds"')
    if "end" in fields:
        if fields["end"] not in _ENDS:
            raise InvalidRecordingError(f'{where}: "end" is one of {", ".join(sorted(_ENDS))}')
        return Part(at, end=fields)
    if "status" in fields:
        status, headers = fields["status"], fields.get("headers", {})
        if not isinstance(status, int) or not 200 <= status <= 599:
            raise InvalidRecordingError(f'{where}: "status" is a number, 200 to 599')
        if not isinstance(headers, dict) or not all(isinstance(v, str) for v in headers.values()):
            raise InvalidRecordingError(f'{where}: "headers" is an object of texts')
        return Head(at, status, headers)
    return Part(at, _data(where, fields))


def _data(where: str, fields: dict[str, Any]) -> bytes:
    if "json" in fields:
        return as_json(fields["json"]).encode()
    if "left_out" in fields:
        return b""
    for name in ("event", "text"):
        if isinstance(text := fields.get(name), str):
            return text.encode("utf-8", "replace")
    if isinstance(text := fields.get("base64"), str):
        try:
            return base64.b64decode(text, validate=True)
        except ValueError:
            raise InvalidRecordingError(f'{where}: "base64" is not that') from None
    raise InvalidRecordingError(f"{where} has none of event, json, text, base64, status and end")


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number and the object of each line. A last line that was not written to its end does not count."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                fields = json.loads(line)
            except (ValueError, RecursionError) as error:
                if not line.endswith(b"\n") and number > 1:
                    return
                why = "is not JSON"
                raise InvalidRecordingError(f"line {number} of {path} {why}: {error}") from None
            if not isinstance(fields, dict):
                raise InvalidRecordingError(f"line {number} of {path} is not an object of JSON")
            yield number, fields
