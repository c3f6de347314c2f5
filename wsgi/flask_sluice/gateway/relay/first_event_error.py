"""A stream that begins with an error: its status is 200, and its first event says what would have been its status."""

import re
from dataclasses import dataclass
from typing import Any

from flask_sluice.gateway.relay.completion_chunks import as_json
from flask_sluice.sse import EventParser
from flask_sluice.stream.errors import ApiError, PlainAnswer

_STATUS_OF_ERROR_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "overloaded_error": 529,
}


@dataclass(frozen=True)
class StreamRefusal:
    """The error in place of a stream.

    status: what the upstream would have answered without streaming
    body: the event's JSON, as it came
    """

    status: int
    message: str
    body: bytes

    def as_api_error(self) -> ApiError:
        return ApiError(self.status, "upstream_error", self.message)

    def as_plain_answer(self) -> PlainAnswer:
        return PlainAnswer(self.status, {"Content-Type": "application/json"}, self.body)


def first_event_error(events: bytes) -> StreamRefusal | None:
    """Return the error that the first of these events holds, None if it holds none."""
    if b'"error"' not in events:
        return None
    parsed = EventParser().feed(events)
    body = as_json(parsed[0].data) if parsed else {}
    error = body.get("error")
    if not error:
        return None
    if not isinstance(error, dict):
        return StreamRefusal(502, str(error), parsed[0].data.encode())
    return StreamRefusal(
        _status_of(error), str(error.get("message", error)), parsed[0].data.encode()
    )


def _status_of(error: dict[str, Any]) -> int:
    """Return the status that servers put into ``code`` or ``status``, or name by ``type``."""
    for value in (str(error.get("status")), str(error.get("code"))):
        if re.fullmatch("[45][0-9]{2}", value):
            return int(value)
    return _STATUS_OF_ERROR_TYPE.get(str(error.get("type")), 502)
