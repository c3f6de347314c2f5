"""A stream whose pace the doctor sets: ``GET /doctor/stream?events=N&interval_ms=M&prefill_ms=P&silence_ms=S&padding_bytes=B``."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_MOST_SECONDS = 900.0
_LIMITS = {
    # The most of each field, and what it is if it is not given.
    "events": (10_000, 20),
    "interval_ms": (60_000, 50),
    "prefill_ms": (300_000, 0),
    "silence_ms": (300_000, 0),
    "padding_bytes": (65_536, 0),
}

HEADERS = (
    ("Content-Type", "text/event-stream; charset=utf-8"),
    ("Cache-Control", "no-cache, no-transform"),
    ("X-Accel-Buffering", "no"),
)


class ScriptError(ValueError):
    """The query or the Last-Event-ID is wrong; the message says what is taken."""


@dataclass(frozen=True)
class Script:
    """The stream that is asked for.

    events: how many, with the ids 1 to ``events``; the terminal ``event: done`` has the next id
    interval_ms: between two events
    prefill_ms: before the first event
    silence_ms: after the first event
    padding_bytes: how many bytes of padding each event has
    """

    events: int = 20
    interval_ms: int = 50
    prefill_ms: int = 0
    silence_ms: int = 0
    padding_bytes: int = 0

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Script":
        """Return the script of a query. Raises ScriptError."""
        script = cls(**{name: _number(name, query) for name in _LIMITS})
        waits_ms = script.prefill_ms + script.silence_ms + script.events * script.interval_ms
        if waits_ms > _MOST_SECONDS * 1000:
            raise ScriptError(f"the stream takes {_MOST_SECONDS:g} s at most")
        return script

    def seen(self, last_event_id: str) -> int:
        """Return how many events the reader has, the terminal one included. Raises ScriptError."""
        given = last_event_id.strip() or "0"
        if not (given.isascii() and given.isdigit() and len(given) <= 6):
            raise ScriptError("Last-Event-ID takes the number of an event of this stream")
        if int(given) > self.events + 1:
            raise ScriptError(f"this stream has {self.events} events and a terminal one")
        return int(given)

    def is_over(self, seen: int) -> bool:
        """Whether a reader has all events, so that the answer is 204."""
        return seen > self.events

    def steps(self, seen: int) -> Iterator[float | bytes]:
        """Yield the events after the first ``seen``, and before each that waits the seconds to wait."""
        for number in range(seen + 1, self.events + 1):
            if wait_ms := self._wait_ms(number, seen):
                yield wait_ms / 1000
            data: dict[str, object] = {"number": number, "sent_at": time.time()}
            if self.padding_bytes:
                data["padding"] = "." * self.padding_bytes
            yield f"id: {number}\ndata: {json.dumps(data)}\n\n".encode()
        yield f"event: done\nid: {self.events + 1}\ndata: {{}}\n\n".encode()

    def _wait_ms(self, number: int, seen: int) -> int:
        wait_ms = 0 if number == seen + 1 else self.interval_ms
        if number == seen + 1:
            wait_ms += self.prefill_ms
        if number == seen + 2:
            wait_ms += self.silence_ms
        return wait_ms


def _number(name: str, query: Mapping[str, str]) -> int:
    most, usual = _LIMITS[name]
    given = query.get(name, str(usual))
    if not (given.isascii() and given.isdigit() and len(given) <= 6 and int(given) <= most):
        raise ScriptError(f"{name} takes a number from 0 to {most}")
    return int(given)
