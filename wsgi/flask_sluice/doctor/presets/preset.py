"""What the checks need to know of a kind of stream."""

import json
from dataclasses import dataclass
from typing import Any

from flask_sluice.doctor.http.request import HttpRequest
from flask_sluice.sse.event import ReceivedEvent

_SHOWN = 200
_TERMINAL_WORDS = (
    *("done", "end", "ended", "complete", "completed", "finish", "finished"),
    *("close", "closed", "stop", "eof", "message_stop"),
)
"""How streams of the field name their last event."""


@dataclass(frozen=True)
class Preset:
    """A stream of any kind: asked for with the request as it is, and nothing known about its end.

    Subclasses know more. ``target`` is the request with the user's method, headers and body.
    """

    target: HttpRequest

    name = "eventsource"
    tokens_per_request = 0
    """The most tokens that one request makes the server produce, for which somebody may pay; 0: unknown or none."""
    data_is_json = False
    """Whether every event's data has to be JSON."""
    must_end_with = ""
    """What the last event has to be, in words; "" where any end is right."""
    token_pace = False
    """Whether events come one by one at the pace of a model, so that a burst of them was held back."""

    def request(self) -> HttpRequest:
        """The request for the stream."""
        return self.target

    def long_request(self) -> HttpRequest:
        """A request for a stream that is still going on when a reader leaves it."""
        return self.request()

    def resume_request(self) -> HttpRequest | None:
        """The request, but for its Last-Event-ID, by which a reader goes on with this stream.

        None where no reader can, or where each would be asked for and paid anew.
        """
        return None if self.tokens_per_request else self.request()

    def broken_request(self) -> HttpRequest | None:
        """A request that the server has to refuse, to see its errors; None if none is known."""
        return None

    def is_terminal(self, event: ReceivedEvent) -> bool:
        """Whether the event says that the stream is complete."""
        if event.event in _TERMINAL_WORDS or event.data.strip() == "[DONE]":
            return True
        document = json_of(event)
        if not isinstance(document, dict):
            return False
        kinds = (document.get("type"), document.get("event"))
        has_word = any(isinstance(kind, str) and kind in _TERMINAL_WORDS for kind in kinds)
        return has_word or any(document.get(word) is True for word in _TERMINAL_WORDS)

    def is_last_of_content(self, event: ReceivedEvent) -> bool:  # noqa: ARG002 - for subclasses
        """Whether the event says that nothing but the terminal event follows, such as a finish_reason."""
        return False

    def error_in(self, event: ReceivedEvent) -> str:
        """The error that the event reports; "" if it reports none."""
        if event.event == "error":
            return event.data[:_SHOWN] or "an error without data"
        return error_of(json_of(event))


def error_of(document: Any) -> str:
    """The error that a JSON document reports, in the shapes that are in use; "" if it reports none."""
    if not isinstance(document, dict):
        return ""
    error = document.get("error")
    if isinstance(error, dict | str) and error:
        return (error if isinstance(error, str) else json.dumps(error))[:_SHOWN]
    is_error = document.get("type") == "error" or document.get("object") == "error"
    return str(document.get("message") or "an error without a message")[:_SHOWN] if is_error else ""


def json_of(event: ReceivedEvent) -> Any:
    """The event's data as JSON; None if it is not."""
    try:
        return json.loads(event.data)
    except ValueError:
        return None
