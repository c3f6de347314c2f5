"""The events that an app gives for a stream that is kept."""

from flask_sluice.journal.protocol import Limits
from flask_sluice.sse import Event
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.feeds.feed import holds_event
from flask_sluice.stream.feeds.terminal_event import (
    IsTerminal,
    holds_terminal_event,
    is_terminal_event,
)

DONE = Event(data="{}", event="done").encode()
"""The terminal event of a stream whose app gave none."""

_ID_STARTS = (b"id:", b"id\n")


class AppEvents:
    """Takes whole events apart, each of which gets its number; see ``AnswerReader``.

    Comments and blank lines are left out: a reader gets the keep-alives of its own connection.

    is_terminal: tells the event that completes the stream; None: ``event: done`` or ``data: [DONE]``
    max_event_bytes: of one event; a stream keeps no more than that
    """

    error: ApiError | None = None
    has_finish_reason = True
    """An app that returns has completed its stream."""

    def __init__(
        self, is_terminal: IsTerminal | None = None, max_event_bytes: int = Limits().history_bytes
    ) -> None:
        self._max_event_bytes = max_event_bytes
        self._is_terminal = is_terminal or is_terminal_event
        self._terminal_event = DONE
        self.is_over = False

    def read(self, events: bytes) -> list[bytes]:
        """Return the events before the terminal one, each by itself. What follows that is dropped.

        Raises ValueError for an event with an id of the app's own, and for one that is larger than the whole history.
        """
        kept: list[bytes] = []
        for event in _whole_events(events):
            if self.is_over:
                break
            if _has_id(event):
                raise ValueError(
                    f"a kept stream numbers its events itself, leave the id out: {event[:100]!r}"
                )
            if len(event) > self._max_event_bytes:
                raise ValueError(
                    f"an event of {len(event):,} bytes is larger than the history of a stream: "
                    f"send less at a time, or raise history_bytes ({self._max_event_bytes:,})"
                )
            if holds_terminal_event(event, self._is_terminal):
                self._terminal_event, self.is_over = event, True
            else:
                kept.append(event)
        return kept

    def terminal_event(self) -> bytes:
        return self._terminal_event


def _whole_events(events: bytes) -> list[bytes]:
    if events.find(b"\r") >= 0:
        events = events.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if events.startswith(b"data:") and events.find(b"\n\n") == len(events) - 2:
        return [events]  # Nearly all come one by one.
    blocks = [block.strip(b"\n") for block in events.split(b"\n\n")]
    return [block + b"\n\n" for block in blocks if block and holds_event(block)]


def _has_id(event: bytes) -> bool:
    # find, since a regular expression takes five times as long for an event of 200 bytes.
    return event.startswith(_ID_STARTS) or event.find(b"\nid:") >= 0 or event.find(b"\nid\n") >= 0
