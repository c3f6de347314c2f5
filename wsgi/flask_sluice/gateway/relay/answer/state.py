"""What a streamed answer has said about its own end: choices, terminal event, error. No I/O.

A stream is judged by its events, not by its path: a proxy or a client may spell a route in several ways.
"""

import enum
import re
from collections.abc import Iterator
from typing import Any

from flask_sluice.gateway.relay.answer.told_error import (
    ToldError,
    as_message,
    error_told_in,
)

_DONE = b"[DONE]"
_BOM = b"\xef\xbb\xbf"
_NO_EVENT_HAS_IT = b"\0"
_PATTERNS = (
    (b'"finish_reason":null', b'"index":1'),
    (b'"finish_reason": null', b'"index": 1'),
)
"""What nearly every chunk holds, and what only a second choice holds, in the two ways in which JSON is written."""
_PINGS = ("ping", "keepalive", "keep-alive", "heartbeat")
"""Events of these names keep a connection alive, as comments do: the answer has not begun with them."""
_TERMINAL_TYPES = (
    *("response.completed", "response.incomplete", "response.failed", "response.cancelled"),
    *("response.done", "message_stop", "speech.audio.done", "transcript.text.done"),
    *("image_generation.completed", "image_edit.completed"),
)
_LAST_NAMES = {name.encode() for name in (*_TERMINAL_TYPES, "response.error", "error")}
_SEQUENCE_NUMBER = re.compile(rb'"sequence_number": ?([0-9]{1,18})')
_EVENT = re.compile(rb".+?(?:\r\n\r\n|\n\n|\r\r|\Z)", re.DOTALL)
_MAX_LAST_BYTES = 1024
_LARGE_BYTES = 64 * 1024
_COMMENT = ord(":")
_MAX_CHOICES = 1024


class Api(enum.Enum):
    """The API whose events a stream has: how it ends, and which shape an error has in it."""

    CHAT = enum.auto()
    """Chat completions and completions: chunks with ``choices``."""
    RESPONSES = enum.auto()
    MESSAGES = enum.auto()
    MEDIA = enum.auto()
    """Speech, transcriptions and images: named events, of which the last is ``….done`` or ``….completed``."""


_API_OF_TYPE = (
    ("response.", Api.RESPONSES),
    ("message_", Api.MESSAGES),
    ("content_block_", Api.MESSAGES),
    ("speech.audio.", Api.MEDIA),
    ("transcript.text.", Api.MEDIA),
    ("image_generation.", Api.MEDIA),
    ("image_edit.", Api.MEDIA),
)


class AnswerState:
    """Takes the events of one stream, and says whether the stream may end behind them.

    choice_count: how many choices the request asks for
    api: what the events have shown the stream to be; None while they have not
    has_begun: whether there was an event; comments and pings are none
    is_done: whether ``[DONE]`` has come
    has_terminal_event: whether the stream's last event has come, in any API
    error: the first error that the stream tells
    begins_with_error: whether that was its first event
    hides_error: whether clients do not see it: it is in a field ``error``, or in JSON without a field, which they ignore
    finish_reason, usage: the last that were given
    """

    __slots__ = (
        "_choice_count",
        "_finished",
        "_last",
        "_null_reason",
        "_second_choice",
        "_seen",
        "api",
        "begins_with_error",
        "error",
        "finish_reason",
        "has_begun",
        "has_terminal_event",
        "hides_error",
        "is_done",
        "usage",
    )

    def __init__(self, choice_count: int = 1) -> None:
        self._choice_count = choice_count
        # Bit i is choice i.
        self._seen = 0
        self._finished = 0
        self._null_reason = _NO_EVENT_HAS_IT
        self._second_choice = _NO_EVENT_HAS_IT
        self.api: Api | None = None
        self.has_begun = False
        self.is_done = False
        self.has_terminal_event = False
        self.error: ToldError | None = None
        self.begins_with_error = False
        self.hides_error = False
        self.finish_reason: Any = None
        self.usage: Any = None
        self._last = b""

    def changes_by(self, events: bytes, count: int) -> bool:
        """Return whether ``events``, so many, may hold more than further chunks of choices that are not finished.

        Nearly every read brings nothing else, and need not be parsed. In JSON a quote inside of a text is escaped, so the
        patterns are not found in what a model says. ``rfind``, since ``in`` and ``find`` take twice the time.
        """
        if count == 1 == self._choice_count == self._seen:
            return (
                events.rfind(self._null_reason) < 0
                or events.rfind(b'"error"') >= 0
                or events.rfind(self._second_choice) >= 0
            )
        if events.rfind(b'"error"') >= 0:
            return True
        if self._null_reason is _NO_EVENT_HAS_IT:
            return self.api is None or self.api is Api.CHAT or self._named_events_end(events)
        # A choice that was not asked for may be followed by more of them, each of which is to be noticed.
        if events.count(self._null_reason) != count or self._seen > self._choice_count == 1:
            return True
        # In a bulk a choice that was not asked for is not looked for: it would cost such an event a tenth more.
        return self._choice_count > 1 and (count != 1 or events.count(b'"finish_reason"') != 1)

    def _named_events_end(self, events: bytes) -> bool:
        """Return whether there may be an event that is of importance for the end, among named ones."""
        if events.find(b"\r") >= 0:
            return True
        for block in events.split(b"\n\n"):
            if block and (block[:7] != b"event: " or block[7 : block.find(b"\n")] in _LAST_NAMES):
                return True
        self._note(events)
        return False

    def _note(self, events: bytes) -> None:
        """Remember the number of the last event, or the events: it is wanted only if an error has to be added."""
        self._last = events
        if len(events) > _LARGE_BYTES:
            # One event: its number stands before or behind what makes it large.
            self._last = events[: _LARGE_BYTES // 2] + events[-_LARGE_BYTES // 2 :]
        if len(events) > _MAX_LAST_BYTES:
            self._last = b'"sequence_number":%d' % self.sequence_number

    @property
    def sequence_number(self) -> int:
        """The last number in a stream of Responses; -1 before the first."""
        numbers = _SEQUENCE_NUMBER.findall(self._last)
        return int(numbers[-1]) if numbers else -1

    def read(self, events: bytes) -> None:
        """Take whole events."""
        for name, data, is_seen in messages_in(events):
            if self.is_done or self.hides_error:
                break
            self._take(name, data, is_seen=is_seen)
        if self.api is Api.RESPONSES:
            self._note(events)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing if the body ends properly now. An error that was told is not missing."""
        if self.has_terminal_event or self.error is not None:
            return True
        if self.api is Api.CHAT:
            finished = self._finished
            return not self._seen & ~finished and finished.bit_count() >= self._choice_count
        return self.api is None

    def _take(self, name: str, data: bytes, *, is_seen: bool) -> None:
        # A further chunk, as ``changes_by`` leaves out where it comes alone: a short answer comes in one read.
        is_first = self._seen != 1 or self._choice_count != 1
        if is_seen and not (is_first or name or self.changes_by(data, 1)):
            return
        if data.strip() == _DONE:
            self.has_begun = self.is_done = self.has_terminal_event = True
            return
        message = as_message(data)
        if name in _PINGS or (message is not None and message.type in _PINGS):
            return
        if self.error is None:
            self.error = error_told_in(name, data, message)
            self.begins_with_error = self.error is not None and not self.has_begun
            self.hides_error = self.error is not None and not is_seen
        self.has_begun = True
        if message is None:
            return
        self.usage = message.usage or self.usage
        if isinstance(message.choices, list):
            self.api = self.api or Api.CHAT
            self._take_choices(message.choices)
            self._learn_patterns(data)
        else:
            self._take_type(message.type if isinstance(message.type, str) else name)

    def _take_choices(self, choices: list[Any]) -> None:
        for choice in choices:
            if not isinstance(choice, dict):
                continue
            index = choice.get("index")
            bit = 1 << index if isinstance(index, int) and 0 <= index < _MAX_CHOICES else 1
            self._seen |= bit
            if reason := choice.get("finish_reason"):
                self._finished |= bit
                self.finish_reason = reason

    def _learn_patterns(self, data: bytes) -> None:
        """Note how this upstream writes JSON. Behind a finish_reason everything is parsed: usage comes in many forms."""
        self._null_reason = _NO_EVENT_HAS_IT
        if (self._choice_count == 1 and self._finished) or len(data) > _LARGE_BYTES:
            return
        for null_reason, second_choice in _PATTERNS:
            if data.rfind(null_reason) >= 0:
                self._null_reason, self._second_choice = null_reason, second_choice

    def _take_type(self, type_: str) -> None:
        if self.api is None:
            for prefix, api in _API_OF_TYPE:
                if type_.startswith(prefix):
                    self.api = api
        if type_ in _TERMINAL_TYPES:
            self.has_terminal_event = True


def messages_in(events: bytes) -> Iterator[tuple[str, bytes, bool]]:
    """Return name and data of each event, however its lines end, and whether clients see it as an event.

    They do not see a field ``error`` (llama.cpp) and JSON without any field, in which servers tell errors, too.
    """
    if (
        events.startswith(b"data: ")
        and events.endswith(b"\n\n")
        and events.find(b"\n") == len(events) - 2
        and events.find(b"\r") < 0
    ):
        # One event of one line, which may be large.
        yield "", events[6:-2], True
        return
    events = events.removeprefix(_BOM)
    if b"\r" in events:
        events = events.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for block in events.split(b"\n\n"):
        if block.startswith(b"data: ") and b"\n" not in block:
            yield "", block[6:], True
        elif block and (block[0] != _COMMENT or b"\n" in block):
            yield from _messages_in_block(block)


def _messages_in_block(block: bytes) -> Iterator[tuple[str, bytes, bool]]:
    name = ""
    data, bare = [], []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
        elif field == b"error":
            yield "error", value, False
        elif field not in (b"", b"id", b"retry"):
            bare.append(line)
    if bare and bare[0].lstrip().startswith(b"{"):
        yield "", b"\n".join(bare), False
    if data or name == "error":
        yield name, b"\n".join(data), bool(data)


def lacks_only_its_blank_line(part: bytes) -> bool:
    """Return whether the beginning of an event, behind which the body has ended, is a whole one."""
    messages = list(messages_in(part))
    return bool(messages) and all(
        name == "error" or data.strip() == _DONE or as_message(data) is not None
        for name, data, _ in messages
    )


def before_hidden_error(events: bytes) -> bytes:
    """Return the events before the one in which an error is told that clients do not see."""
    if len(events) > 2 * _LARGE_BYTES:
        return (
            b""  # It is one event, which would take long to search, with at most a few before it.
        )
    kept = b""
    for event in _EVENT.findall(events):
        if not all(is_seen for _, _, is_seen in messages_in(event)):
            break
        kept += event
    return kept


def is_comment(part: bytes) -> bool:
    """Return whether there is nothing but comments and blank lines in it."""
    return all(line.startswith(b":") for line in part.splitlines() if line)
