"""What the routes for EventSource have in common: where a reader goes on, and what it is sent."""

import math

from flask import Response, request

from flask_sluice.gateway.settings import Settings
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.event_stream import EventStream
from flask_sluice.stream.feeds.feed import Feed
from flask_sluice.stream.headers_and_errors import EVENT_SOURCE_PREAMBLE, error_for_event_source
from flask_sluice.stream.responses import client_of, stream_response

RETRY_MS = 2000
_MAX_ID_DIGITS = 18
"""More than any stream will have; the time that int() takes is quadratic."""


def last_event_id(newest: float = math.inf) -> int:
    """The number of the last event that the client has, 0 for none.

    Raises ApiError for what cannot be one of 0 to ``newest``; EventSource then gives up.
    """
    given = request.headers.get("Last-Event-ID") or request.args.get("last_event_id") or "0"
    is_number = given.isascii() and given.isdigit() and len(given) <= _MAX_ID_DIGITS
    if not is_number or int(given) > newest:
        raise ApiError(
            400,
            "invalid_request",
            "Last-Event-ID takes the number of an event of this stream",
            param="last_event_id",
        )
    return int(given)


def event_source_response(feed: Feed, context: StreamContext, settings: Settings) -> Response:
    """The 200 and a comment go out at once, whenever the first event comes."""
    stream = EventStream(
        feed,
        context=context,
        render_error=error_for_event_source,
        client=client_of(request),
        options=settings.stream_options,
        preamble=EVENT_SOURCE_PREAMBLE,
    )
    if request.method != "HEAD":
        stream.start()
    return stream_response(stream)


def nothing_more() -> Response:
    """The one answer that makes an EventSource stop reconnecting."""
    return Response(status=204)
