"""The event that the client returns, and the memory of the events before it."""

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from flask_sluice.sse import ReceivedEvent

JSON_ID = "-1"
"""The id of the only event of a JSON body. No stream sends this id, and no stream can be continued after it."""
DONE = "[DONE]"
BOM = b"\xef\xbb\xbf"
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""The exceptions of decoding a text that is not JSON."""
_TERMINAL_EVENTS = frozenset({"done", "message_stop", "response.completed", "response.incomplete"})
_MAX_REMEMBERED_BYTES = 4 * 1024 * 1024
_EVENT_BYTES = 200
"""What an event takes besides its text: the objects, and its place in the memory."""

_decode_json = msgspec.json.Decoder().decode


class StreamEvent(ReceivedEvent, frozen=True, gc=False):
    """An event: ``data``, ``event`` ("message" without a name), ``id`` (the last event id) and ``retry``."""

    def json(self) -> Any:
        """Return the data, decoded from JSON. Raises ValueError, with its beginning, if it is not JSON."""
        try:
            return _decode_json(self.data)
        except NOT_JSON as error:
            raise ValueError(f"the data is not JSON: {self.data[:200]!r}") from error


def is_terminal(event: StreamEvent) -> bool:
    """Return whether the event completes a stream.

    It does with the data ``[DONE]`` (OpenAI's chat and completions), or as ``done`` (Sluice), ``response.completed``,
    ``response.incomplete`` (OpenAI's Responses) or ``message_stop`` (Anthropic).
    """
    return event.data == DONE or event.event in _TERMINAL_EVENTS


class RecentEvents:
    """Remembers the events of a stream, so that an exception can carry what was received before it.

    It keeps the last 4 MiB: some 10,000 chunks of one token each, so nearly always the whole answer. The limit keeps a
    stream that runs for days from filling the memory, also if its events are empty.

    on_forget: called with each event that is not remembered any longer, oldest first
    """

    def __init__(self, on_forget: Callable[[StreamEvent], object] | None = None) -> None:
        self.count = 0
        self._on_forget = on_forget
        self._events: deque[StreamEvent] = deque()
        self._bytes = 0

    def add(self, event: StreamEvent) -> None:
        self.count += 1
        self._events.append(event)
        self._bytes += _EVENT_BYTES + len(event.data) + len(event.event) + len(event.id)
        while self._bytes > _MAX_REMEMBERED_BYTES:
            forgotten = self._events.popleft()
            self._bytes -= _EVENT_BYTES
            self._bytes -= len(forgotten.data) + len(forgotten.event) + len(forgotten.id)
            if self._on_forget is not None:
                self._on_forget(forgotten)

    def events(self) -> tuple[StreamEvent, ...]:
        """Return the remembered events, oldest first."""
        return tuple(self._events)
