"""What the routes for EventSource have in common: the event that a reader continues after, and its response."""

import math
from contextlib import ExitStack

from flask import Response, request

from flask_sluice.gateway.api.passed_back import NOSNIFF
from flask_sluice.gateway.settings import Settings
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.event_stream import EventStream
from flask_sluice.stream.feeds.feed import Feed
from flask_sluice.stream.headers_and_errors import error_for_event_source
from flask_sluice.stream.responses import stream_response
from flask_sluice.stream.transport.client_socket import client_of

RETRY_MS = 2000
_MAX_ID_DIGITS = 18
"""More than any stream's numbers have. int() takes quadratic time."""


def last_event_id(newest: float = math.inf) -> int:
    """Return the number of the last event that the client has, 0 if it has none.

    It is the newest of what the request says: the header, which comes with a reconnection; ``lastEventId``, which polyfills of
    EventSource add to the URL instead, the last one if there are several; ``last_event_id``, with which an app begins.

    Raises ApiError 400 for anything but a number from 0 to ``newest``; EventSource then gives up.
    """
    by_polyfill = request.args.getlist("lastEventId")
    given = (
        request.headers.get("Last-Event-ID")
        or (by_polyfill and by_polyfill[-1])
        or request.args.get("last_event_id")
        or "0"
    )
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
    """Stream a feed; the 200 and a comment are sent at once, however late the first event is.

    Raises TooManyStreamsError; the feed is stopped then.
    """
    with ExitStack() as on_failure:
        # A feed may hold something already, such as a reader's place in a journal.
        on_failure.callback(feed.stop)
        stream = EventStream(
            feed,
            context=context,
            render_error=error_for_event_source,
            client=client_of(request.environ),
            options=settings.stream_options,
            preamble=settings.stream_options.preamble,
        )
        on_failure.callback(stream.close)
        if request.method != "HEAD":
            stream.start()
        response = stream_response(stream)
        # The events are an upstream's.
        response.headers.set(*NOSNIFF)
        on_failure.pop_all()
    return response


def no_more_events() -> Response:
    """Return the only answer after which an EventSource does not reconnect: 204."""
    return Response(status=204)
