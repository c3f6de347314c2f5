"""The errors of upstreams whose answers cannot be passed on as they are."""

import re
from typing import Any

from flask_sluice.gateway.relay.completion_chunks import as_json
from flask_sluice.gateway.relay.exchange import read_body
from flask_sluice.gateway.relay.response import UpstreamResponse
from flask_sluice.sse import EventParser
from flask_sluice.stream.errors import ApiError, PlainAnswer
from flask_sluice.stream.loop.steps import Steps

_MAX_BODY_BYTES = 1024 * 1024
_STATUS_OF_ERROR_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "overloaded_error": 529,
}


def first_event_error(events: bytes, *, is_committed: bool) -> ApiError | PlainAnswer | None:
    """Return the error for a stream with status 200 whose first event is an error, None for any other stream.

    is_committed: whether the client has its 200 already. If not, it gets the upstream's JSON with the status that the
        upstream would have answered without streaming
    """
    if b'"error"' not in events:
        return None
    parsed = EventParser().feed(events)
    error = as_json(parsed[0].data).get("error") if parsed else None
    if not error:
        return None
    status, message = 502, str(error)
    if isinstance(error, dict):
        status, message = _status_of(error), str(error.get("message", error))
    if is_committed:
        return ApiError(status, "upstream_error", message)
    return PlainAnswer(status, {"Content-Type": "application/json"}, parsed[0].data.encode())


def late_refusal(response: UpstreamResponse, timeout_seconds: float) -> Steps[ApiError]:
    """Return the error for a response that is not a stream, for a client that has its 200 already. Closes the response."""
    try:
        body = yield from read_body(response, timeout_seconds, _MAX_BODY_BYTES)
    except OSError:
        body = b""
    finally:
        response.abandon()
    status = response.head.status
    error = as_json(body).get("error")
    message = error.get("message") if isinstance(error, dict) else None
    return ApiError(
        status if status >= 400 else 502,
        "upstream_error" if status >= 400 else "upstream_invalid",
        str(message or f"the upstream answered with status {status} and no stream"),
    )


def _status_of(error: dict[str, Any]) -> int:
    """Return the status that servers put into ``code`` or ``status``, or name by ``type``."""
    for value in (str(error.get("status")), str(error.get("code"))):
        if re.fullmatch("[45][0-9]{2}", value):
            return int(value)
    return _STATUS_OF_ERROR_TYPE.get(str(error.get("type")), 502)
