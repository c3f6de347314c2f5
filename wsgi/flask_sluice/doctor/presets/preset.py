"""What the checks need to know of a kind of stream."""

import json
from dataclasses import dataclass
from typing import Any

from flask_sluice.doctor.http.request import HttpRequest
from flask_sluice.sse.event import ReceivedEvent


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

    def broken_request(self) -> HttpRequest | None:
        """A request that the server has to refuse, to see its errors; None if none is known."""
        return None

    def is_terminal(self, event: ReceivedEvent) -> bool:
        """Whether the event says that the stream is complete."""
        return event.event in ("done", "end", "complete") or event.data == "[DONE]"

    def error_in(self, event: ReceivedEvent) -> str:
        """The error that the event reports; "" if it reports none."""
        return event.data[:200] if event.event == "error" else ""


def json_of(event: ReceivedEvent) -> Any:
    """The event's data as JSON; None if it is not."""
    try:
        return json.loads(event.data)
    except ValueError:
        return None
