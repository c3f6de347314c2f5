"""A recorded body, taken apart into lines and events with the times of their arrival."""

import bisect
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from flask_sluice.doctor.http.recording import Recording
from flask_sluice.sse.event import ReceivedEvent
from flask_sluice.sse.parser import EventParser

BOM = b"\xef\xbb\xbf"
_LINE = re.compile(rb"([^\r\n]*)(\r\n|\n|\r|\Z)")


@dataclass(frozen=True)
class Line:
    """One line of the body.

    ending: CR, LF or both; empty for a last line without an end
    start, end: its place in the body, ``ending`` included
    seconds: when its last byte came
    """

    text: bytes
    ending: bytes
    start: int
    end: int
    seconds: float

    @property
    def is_comment(self) -> bool:
        return self.text.startswith(b":")

    @property
    def field(self) -> str:
        """The name of the field: what is before the first colon, or the whole line; "" for a comment."""
        return self.text.partition(b":")[0].decode("utf-8", "replace")

    @property
    def value(self) -> bytes:
        """What is after the colon, without one space."""
        return self.text.partition(b":")[2].removeprefix(b" ")


@dataclass(frozen=True)
class TimedEvent:
    """An event that a client was given.

    start, end: its place in the body, from its first line to its blank line
    first_seconds: when its first byte came
    seconds: when its blank line came, which is when the client got it
    """

    event: ReceivedEvent
    start: int
    end: int
    first_seconds: float
    seconds: float


@dataclass(frozen=True)
class EventLog:
    """What a reader of the body saw.

    blocks: the lines between blank lines, without these, and without the block that the end of the body cuts off
    unfinished: the lines after the last blank line
    events: of the blocks that have data, in order
    """

    recording: Recording
    lines: tuple[Line, ...] = ()
    blocks: tuple[tuple[Line, ...], ...] = ()
    unfinished: tuple[Line, ...] = ()
    events: tuple[TimedEvent, ...] = ()

    @property
    def comments(self) -> tuple[Line, ...]:
        return tuple(line for line in self.lines if line.is_comment)

    @property
    def has_bom(self) -> bool:
        return self.recording.body.startswith(BOM)

    @property
    def whole_lines(self) -> tuple[Line, ...]:
        """The lines that have come to their ends: the last one counts only if the body ended properly behind it."""
        if self.lines and not self.lines[-1].ending and not self.recording.has_proper_end:
            return self.lines[:-1]
        return self.lines

    def lines_of(self, event: TimedEvent) -> tuple[Line, ...]:
        """The lines of the event, its blank line included."""
        first = bisect.bisect_left(self._line_starts, event.start)
        last = bisect.bisect_left(self._line_starts, event.end)
        return self.lines[first:last]

    @cached_property
    def _line_starts(self) -> list[int]:
        return [line.start for line in self.lines]


def take_apart(recording: Recording) -> EventLog:
    """Return the lines and events of the body, as WHATWG HTML (section 9.2.6) reads them."""
    lines = _lines(recording)
    blocks: list[tuple[Line, ...]] = []
    block: list[Line] = []
    events: list[TimedEvent] = []
    parser = EventParser()
    body, clock = recording.body, _Clock(recording)
    for line in lines:
        parsed = parser.feed(body[line.start : line.end])
        if line.text or not line.ending:
            block.append(line)
            continue
        events += (_timed(event, block, line, clock) for event in parsed)
        if block:
            blocks.append(tuple(block))
            block = []
    return EventLog(recording, tuple(lines), tuple(blocks), tuple(block), tuple(events))


def _timed(event: ReceivedEvent, block: list[Line], blank: Line, clock: "_Clock") -> TimedEvent:
    start = block[0].start if block else blank.start
    return TimedEvent(event, start, blank.end, clock.seconds_at(start), blank.seconds)


def _lines(recording: Recording) -> list[Line]:
    body, clock = recording.body, _Clock(recording)
    start = len(BOM) if body.startswith(BOM) else 0
    lines = []
    for match in _LINE.finditer(body, start):
        if match.start() == match.end():
            break
        text, ending = match.groups()
        seconds = clock.seconds_at(match.end() - 1)
        lines.append(Line(text, ending, match.start(), match.end(), seconds))
    return lines


class _Clock:
    """Tells when a byte of the decoded body came."""

    def __init__(self, recording: Recording) -> None:
        self._arrivals = recording.decoded
        self._ends = list(itertools.accumulate(len(arrival.data) for arrival in self._arrivals))

    def seconds_at(self, offset: int) -> float:
        return self._arrivals[bisect.bisect_right(self._ends, offset)].seconds


class LiveEvents:
    """The events of a recording that is still going on, each with the time of its arrival."""

    def __init__(self) -> None:
        self.events: list[tuple[float, ReceivedEvent]] = []
        self.comments: list[tuple[float, str]] = []
        self._seconds = 0.0
        self._taken = 0
        self._parser = EventParser(on_comment=self._take_comment)

    def take(self, recording: Recording) -> list[tuple[float, ReceivedEvent]]:
        """Read what has come since the last call; return all events so far."""
        for arrival in recording.decoded[self._taken :]:
            self._seconds = arrival.seconds
            self.events += ((arrival.seconds, event) for event in self._parser.feed(arrival.data))
        self._taken = len(recording.decoded)
        return self.events

    def _take_comment(self, text: str) -> None:
        self.comments.append((self._seconds, text))


def has_events(count: int) -> Callable[[Recording], bool]:
    """Return a condition for Exchange.read: that many events have come."""
    live = LiveEvents()
    return lambda recording: len(live.take(recording)) >= count
