"""The body of an answer, read as events."""

from collections import deque
from collections.abc import Callable

from flask_sluice.client.decoders import decoder_for
from flask_sluice.client.errors import UnreadableError
from flask_sluice.client.event import BOM
from flask_sluice.client.response import Response
from flask_sluice.sse import EventTooLargeError, ReceivedEvent

_KINDS = {b"{": "application/json", b"[": "application/json", b"<": "text/html"}
_BEGINNING_BYTES = 1024
_GUESSED_BYTES = 64 * 1024


class Body:
    """The events of one answer.

    received: those that have come and were not taken yet
    has_ended: whether no more will come

    Raises UnreadableError for HTML, for what is neither events nor JSON, and for an event over
    ``max_event_bytes``; what ``Response.read`` raises.
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
        kind, beginning = response.content_type, b""
        if not kind:
            kind, beginning = _guess(response)
        decoder = decoder_for(kind, last_event_id, max_event_bytes, on_comment)
        if decoder is None:
            what = "a page of HTML" if kind == "text/html" else f"of type {kind}"
            beginning = response.read_beginning(_BEGINNING_BYTES, beginning)
            raise UnreadableError(f"the answer is {what}, not a stream", kind, beginning)
        self.decoder = decoder
        self._feed(beginning)

    def read(self) -> None:
        """Waits for the next bytes, or the end."""
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


def _guess(response: Response) -> tuple[str, bytes]:
    """From the first byte that is not white space."""
    data = bytearray()
    while len(data) < _GUESSED_BYTES and (piece := response.read()):
        data += piece
        if first := piece.removeprefix(BOM).strip()[:1]:
            return _KINDS.get(first, "text/event-stream"), bytes(data)
    return "text/event-stream", bytes(data)
