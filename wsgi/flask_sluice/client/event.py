"""An event as the client gives it out, and what is remembered of those before it."""

from collections import deque
from typing import Any

import msgspec

from flask_sluice.sse import ReceivedEvent

JSON_ID = "-1"
"""The id of the one event that a JSON body is: no stream sends it, and none can be continued after it."""
DONE = "[DONE]"
BOM = b"\xef\xbb\xbf"
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises."""
_REMEMBERED_CHARACTERS = 4 * 1024 * 1024

_decode_json = msgspec.json.Decoder().decode


class StreamEvent(ReceivedEvent, frozen=True, gc=False):
    """``data``, ``event`` ("message" where none was named), ``id`` (the last event id) and ``retry``."""

    def json(self) -> Any:
        """The data as JSON. Raises ValueError, with its beginning, if it is none."""
        try:
            return _decode_json(self.data)
        except NOT_JSON as error:
            raise ValueError(f"the data is not JSON: {self.data[:200]!r}") from error


def is_terminal(event: StreamEvent) -> bool:
    """Whether a stream is complete with this event: ``data: [DONE]``, as OpenAI's API ends one, or
    ``event: done``."""
    return event.data == DONE or event.event == "done"


class History:
    """The events so far, for an exception: so that what has been received is not lost with the rest.

    Only the last 4 MiB of data, which is some 15,000 tokens' chunks: nearly always the whole answer, while
    a feed that runs for days does not fill the memory.
    """

    def __init__(self) -> None:
        self.count = 0
        self._events: deque[StreamEvent] = deque()
        self._characters = 0

    def add(self, event: StreamEvent) -> None:
        self.count += 1
        self._events.append(event)
        self._characters += len(event.data)
        while self._characters > _REMEMBERED_CHARACTERS:
            self._characters -= len(self._events.popleft().data)

    def events(self) -> tuple[StreamEvent, ...]:
        """Oldest first."""
        return tuple(self._events)
