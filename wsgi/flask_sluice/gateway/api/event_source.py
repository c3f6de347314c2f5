"""What the gateway's routes for EventSource have in common."""

from flask import Response, request

from flask_sluice.extension.reading import ReadingResponse
from flask_sluice.gateway.api.passed_back import NOSNIFF
from flask_sluice.gateway.settings import Settings
from flask_sluice.journal.reading.reader import Follow
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.feeds.feed import Feed
from flask_sluice.stream.headers_and_errors import stream_headers
from flask_sluice.stream.transport.client_socket import client_of


def follow_response(follow: Follow, context: StreamContext, settings: Settings) -> Response:
    """Stream what a follower gives; 204 if it has nothing and nothing will come. Raises what ``follow`` raises."""
    return _reading(context, settings).on_gevent(follow, client_of(request.environ))


def feed_response(feed: Feed, context: StreamContext, settings: Settings) -> Response:
    """Stream a feed; the 200 and a comment are sent at once. Raises TooManyStreamsError; the feed is stopped then."""
    return _reading(context, settings).of_feed(feed, client_of(request.environ))


def _reading(context: StreamContext, settings: Settings) -> ReadingResponse:
    # The events are an upstream's.
    headers = [*stream_headers(context.request_id), NOSNIFF]
    return ReadingResponse(context, settings.stream_options, headers=headers)
