"""Plays a recorded answer at its pace."""

import math
from collections.abc import Iterator
from pathlib import Path

import msgspec

from flask_sluice.gateway.simulator.replay.recording import Head, Part, parts
from flask_sluice.gateway.simulator.timed_feed import Pause
from flask_sluice.stream.errors import ApiError, CutError

_SILENT_ENDS = ("given_up",)
_CUT_ENDS = ("cut", "client_left", "not_recorded")


class Answer(msgspec.Struct):
    """An answer that is about to be played.

    head: None if there was no answer
    items: bytes and Pauses. Raises CutError where the connection is to break, and ApiError where there was no answer
    """

    head: Head | None
    items: Iterator[bytes | Pause]


def play(path: Path, speed: float) -> Answer:
    """Return the answer of a recording, so many times as fast; ``math.inf``: without pauses but for one without an end."""
    read = parts(path)
    first = next(read)
    if isinstance(first, Head):
        return Answer(first, _items(read, speed, first.at_seconds))
    return Answer(None, _items(iter([first]), speed, 0.0))


def _items(read: Iterator[Head | Part], speed: float, head_at: float) -> Iterator[bytes | Pause]:
    now = 0.0
    if (pause := _pause(head_at, speed)) is not None:
        now = head_at
        yield pause
    for part in read:
        if isinstance(part, Head):
            continue
        if (pause := _pause(part.at_seconds - now, speed)) is not None:
            yield pause
        now = max(now, part.at_seconds)
        if part.end is None:
            if part.data:
                yield part.data
            continue
        yield from _end(part.end)


def _end(end: dict[str, object]) -> Iterator[Pause]:
    how = end["end"]
    if how in _CUT_ENDS:
        raise CutError("the recording ends here")
    if how == "reset":
        raise CutError("the recorded connection was reset here", is_reset=True)
    if how in _SILENT_ENDS:
        yield Pause(None)
    if how == "failed":
        headers = end.get("headers")
        status = end.get("status")
        raise ApiError(
            status if isinstance(status, int) else 502,
            str(end.get("code", "upstream_error")),
            str(end.get("message", "the recorded request failed")),
            headers=headers if isinstance(headers, dict) else {},
        )


def _pause(seconds: float, speed: float) -> Pause | None:
    return None if seconds <= 0 or math.isinf(speed) else Pause(seconds / speed)
