"""The event that the client returns, and the memory of the events before it."""

from collections import deque
from typing import Any

import msgspec

from flask_sluice.sse import ReceivedEvent

JSON_ID = "-1"
"""The id of the only event of a JSON body. No stream sends this id, and no stream can be continued after it."""
DONE = "[DONE]"
BOM = b"\xef\xbb\xbf"
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""The exceptions of decoding a text that is not JSON."""
_MAX_REMEMBERED_CHARACTERS = 4 * 1024 * 1024

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
    """Return whether the event completes a stream: ``data: [DONE]``, as in OpenAI's API, or ``event: done``."""
    return event.data == DONE or event.event == "done"


class RecentEvents:
    """Remembers the events of a stream, so that an exception can carry what was received before it.

    It keeps the last 4 MiB of data: some 15,000 chunks of one token each, so nearly always the whole answer. The
    limit keeps a stream that runs for days from filling the memory.
    """

    def __init__(self) -> None:
        self.count = 0
        self._events: deque[StreamEvent] = deque()
        self._characters = 0

    def add(self, event: StreamEvent) -> None:
        self.count += 1
        self._events.append(event)
        self._characters += len(event.data)
        while self._characters > _MAX_REMEMBERED_CHARACTERS:
            self._characters -= len(self._events.popleft().data)

    def events(self) -> tuple[StreamEvent, ...]:
        """Return the remembered events, oldest first."""
        return tuple(self._events)
