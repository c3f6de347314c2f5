"""Reads the body of a response as events."""

from collections import deque
from collections.abc import Callable

from flask_sluice.client.decoders import decoder_for
from flask_sluice.client.errors import UnreadableError
from flask_sluice.client.event import BOM
from flask_sluice.client.response import Response
from flask_sluice.sse import EventTooLargeError, ReceivedEvent

_CONTENT_TYPES = {b"{": "application/json", b"[": "application/json", b"<": "text/html"}
_QUOTED_BYTES = 1024
_MAX_SNIFFED_BYTES = 64 * 1024


class EventBody:
    """The events of one response.

    received: events that have arrived and were not taken yet
    has_ended: whether the body has ended

    Raises UnreadableError for HTML, for any other content that is neither events nor JSON, and for an event over
    ``max_event_bytes``; also what ``Response.read`` raises.
    """

    def __init__(
        self,
        response: Response,
        last_event_id: str,
        max_event_bytes: int,
        on_comment: Callable[[str], object] | None,
    ) -> None:
        self.received: deque[ReceivedEvent] = deque()
        self.has_ended = False
        self.response = response
        content_type, beginning = response.content_type, b""
        if not content_type:
            content_type, beginning = _sniff(response)
        decoder = decoder_for(content_type, last_event_id, max_event_bytes, on_comment)
        if decoder is None:
            page = "a page of HTML" if content_type == "text/html" else f"of type {content_type}"
            beginning = response.read_beginning(_QUOTED_BYTES, beginning)
            raise UnreadableError(f"the answer is {page}, not a stream", content_type, beginning)
        self.decoder = decoder
        self._feed(beginning)

    def read(self) -> None:
        """Wait for the next bytes or the end of the body."""
        data = self.response.read()
        if data:
            self._feed(data)
        else:
            self.has_ended = True
            self.received.extend(self.decoder.finish())

    def _feed(self, data: bytes) -> None:
        try:
            self.received.extend(self.decoder.feed(data))
        except EventTooLargeError as error:
            raise UnreadableError(str(error)) from error


def _sniff(response: Response) -> tuple[str, bytes]:
    """Guess the content type from the first byte that is not white space; return it and the bytes read."""
    data = bytearray()
    while len(data) < _MAX_SNIFFED_BYTES and (piece := response.read()):
        data += piece
        if first := piece.removeprefix(BOM).strip()[:1]:
            return _CONTENT_TYPES.get(first, "text/event-stream"), bytes(data)
    return "text/event-stream", bytes(data)
