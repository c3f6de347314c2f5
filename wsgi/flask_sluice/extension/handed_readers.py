"""Readers that an app hands over to ``sluice serve``, and the tickets that say so.

A ticket holds all that a view has decided about a reader, so that the gateway needs no other word from the app.
"""

import base64
import time
import zlib
from collections.abc import Sequence
from typing import TypeAlias
from urllib.parse import quote

import msgspec

from flask_sluice.extension.ticket_signer import TicketSigner

TICKET_SECONDS = 30
"""nginx uses a ticket at once. The clocks of two hosts may differ by a few seconds."""

LOCATION = "/_sluice/"
"""The gateway's routes for them, and by default the location of nginx."""
MAX_TARGET_BYTES = 7168
"""gunicorn takes 8190 bytes of a request's first line."""


class _Reader(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What is the same for both kinds.

    expires_at: until when the gateway takes the reader, in seconds since 1970
    request_id: of the request that the app has answered
    owner: whose reader it is, as the app says; None: not said
    readers_per_owner: how many of them one worker of the gateway takes; None: any number
    keepalive_seconds: None: as the gateway has it
    deadline_seconds: None: never
    retry_ms: how long an EventSource waits before it reconnects
    headers: of the app's response
    """

    expires_at: int = 0
    request_id: str = ""
    owner: str | None = None
    readers_per_owner: int | None = None
    keepalive_seconds: float | None = None
    deadline_seconds: float | None = None
    retry_ms: int
    headers: list[tuple[str, str]] = []


class StreamReader(_Reader, tag="stream", kw_only=True, frozen=True, omit_defaults=True):
    """Reads a stream that is kept.

    after: the number of the last event that the client has
    wait_seconds: how long the stream is awaited if it has not begun
    """

    stream_id: str
    after: int = 0
    wait_seconds: float = 0

    @property
    def path(self) -> str:
        """The path below the location."""
        return f"streams/{self.stream_id}"


class ChannelsReader(_Reader, tag="channels", kw_only=True, frozen=True, omit_defaults=True):
    """Reads channels.

    last_event_id: the id of the last event that the client has; "": none
    details: what else the app knows of the reader
    """

    names: tuple[str, ...]
    last_event_id: str = ""
    details: dict[str, str] = {}

    @property
    def path(self) -> str:
        """The path below the location. The names are in the ticket alone: they may be long, and say much."""
        return "channels"


HandedReader: TypeAlias = StreamReader | ChannelsReader


class RefusedTicketError(Exception):
    """The message is for the gateway's operator."""


class HandoffTickets:
    """Writes and reads the tickets of readers that are handed over. keys: see ``TicketSigner``"""

    def __init__(self, keys: Sequence[str]) -> None:
        self._signer = TicketSigner(keys, "sluice hand-off")

    def target(self, reader: HandedReader) -> str:
        """Return where nginx finds the reader's stream, below its location. Raises ValueError if that is too long."""
        terms = _encoded(reader)
        target = f"{quote(reader.path)}?ticket={terms}.{self._signer.sign(terms)}"
        if len(target) > MAX_TARGET_BYTES:
            raise ValueError(
                f"the names, details and headers of a hand-off take {len(target)} bytes as a ticket, at most {MAX_TARGET_BYTES}: "
                "name fewer, or have nginx add the headers"
            )
        return target

    def reader_of(self, ticket: str, path: str) -> HandedReader:
        """Return the reader that a ticket is for. path: below the location. Raises RefusedTicketError."""
        terms, _, signature = ticket.rpartition(".")
        if not self._signer.has_signed(terms, signature):
            raise RefusedTicketError(
                "its ticket is not signed with a key of SLUICE_SECRET_KEY: the app has to have the same"
            )
        try:
            reader: HandedReader = msgspec.json.decode(_decoded(terms), type=HandedReader)
        except (msgspec.DecodeError, zlib.error) as error:
            raise RefusedTicketError(
                f"its ticket is another release's: the app and the gateway should have the same ({error})"
            ) from None
        if reader.path != path:
            raise RefusedTicketError("its ticket is for something else")
        if time.time() >= reader.expires_at:
            raise RefusedTicketError(
                f"its ticket is older than {TICKET_SECONDS} s: the clocks of both hosts have to agree"
            )
        return reader


def _encoded(reader: HandedReader) -> str:
    # A hundred channels, and a position in each, would not fit otherwise.
    data = zlib.compress(msgspec.json.encode(reader))
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decoded(terms: str) -> bytes:
    return zlib.decompress(base64.urlsafe_b64decode(terms + "=" * (-len(terms) % 4)))
