"""Data with annotations, the item that an inference engine yields, and its conversion to an event."""

from typing import Any

import msgspec

from flask_sluice.sse import Event
from flask_sluice.stream.errors import ApiError

_encode_json = msgspec.json.Encoder().encode


class EventError(ApiError):
    """An engine has reported a failure in place of an event; its text may be shown to the client."""

    def __init__(self, message: str) -> None:
        super().__init__(502, "upstream_error", message)


class Annotated(msgspec.Struct, frozen=True, gc=False):
    """One item of an engine's answer, converted as NVIDIA Dynamo's HTTP frontend converts its own.

    An item without any annotation and without data becomes an event without a field, which is sent as nothing at all.

    data: anything that msgspec can encode; it becomes JSON. None: no ``data`` line
    event: the event's type; "error" makes the item the report of a failure
    id: the event's id
    comment: comment lines; with ``event="error"`` they are the message
    """

    data: Any = None
    event: str | None = None
    id: str | None = None
    comment: list[str] | None = None

    def to_event(self) -> Event:
        """Return the event to send.

        Raises EventError if ``event`` is "error", with the comments joined by " -- " or, without any, "unspecified
        error"; ValueError if a field cannot be sent (see ``Event``); TypeError if ``data`` cannot be JSON.
        """
        if isinstance(self.comment, str):
            raise TypeError("comment takes a list of lines, got str")
        if self.event == "error":
            raise EventError(" -- ".join(self.comment or ["unspecified error"]))
        return Event(
            data=None if self.data is None else _encode_json(self.data).decode(),
            event=self.event,
            id=self.id,
            comment="\n".join(self.comment) if self.comment else None,
        )

    def encode(self) -> bytes:
        """Return the bytes of ``to_event()``; raises what it raises."""
        return self.to_event().encode()
