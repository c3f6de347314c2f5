"""Resumable streams: an answer is generated once, and read by anybody, at any time, from any event on."""

import secrets
import time
from collections import Counter
from collections.abc import Callable

from flask import Blueprint, Response, request, url_for

from wsgi.api.auth import Tickets
from wsgi.api.clients import client_name
from wsgi.api.generation import Generation
from wsgi.errors import ApiError
from wsgi.journal import Journal
from wsgi.settings import Settings
from wsgi.stream import EventStream, StreamContext, StreamOptions
from wsgi.stream.feed import Feed
from wsgi.stream.rendering import EVENT_SOURCE_PREAMBLE, error_for_event_source
from wsgi.stream.replay_feed import ReplayFeed
from wsgi.stream.response import client_of, context_of, stream_response

_RETRY_MS = 2000
_MAX_ID_DIGITS = 18
_RETRY_SECONDS = 5


def blueprint(
    open_feed: Callable[[StreamContext], Feed],
    journal: Journal | None,
    settings: Settings,
) -> Blueprint:
    """open_feed: checks the current request and gives the feed of its answer, a stream of chat chunks
    journal: None where streams cannot be kept: several workers without Redis"""
    routes = Blueprint("streams", __name__, url_prefix="/v1/streams")
    generating = StreamOptions(
        keepalive_seconds=0,
        idle_timeout_seconds=settings.idle_timeout_seconds,
        deadline_seconds=settings.stream_timeout_seconds,
    )
    # At the latest: it is kept so long after its end, which may come earlier.
    lifetime_seconds = settings.stream_timeout_seconds + settings.history_seconds
    tickets = Tickets(settings.api_keys)
    running: Counter[str] = Counter()

    @routes.post("")
    def create() -> tuple[dict[str, object], int, dict[str, str]]:
        kept_in = available()
        # Behind a unix socket all come from the same place, unless the proxy is trusted to say whence.
        client = client_name(settings)
        if client and running[client] >= settings.streams_per_client:
            raise ApiError(
                429,
                "rate_limit_exceeded",
                f"{running[client]} resumable streams of yours are running, the limit",
                headers={"Retry-After": str(_RETRY_SECONDS)},
            )
        context = context_of(request)
        generation = Generation(
            open_feed(context), context, generating, on_end=lambda: has_ended(client)
        )
        stream_id = secrets.token_urlsafe(16)
        generation.start(kept_in, stream_id)
        running[client] += 1
        url = url_for("streams.read", stream_id=stream_id)
        expires_at = int(time.time() + lifetime_seconds)
        if settings.api_keys:
            url = f"{url}?ticket={tickets.issue(stream_id, expires_at)}"
        body = {"id": stream_id, "url": url, "expires_at": expires_at}
        return body, 201, {"Location": url}

    @routes.get("/<stream_id>")
    def read(stream_id: str) -> Response:
        feed = ReplayFeed(_RETRY_MS)
        feed.follower = available().follow(stream_id, _last_event_id(), feed.wake)
        if feed.is_finished and not feed.has_events:
            feed.stop()
            # The one answer that makes an EventSource stop reconnecting.
            return Response(status=204)
        stream = EventStream(
            feed,
            context=context_of(request),
            render_error=error_for_event_source,
            client=client_of(request),
            options=settings.stream_options,
            preamble=EVENT_SOURCE_PREAMBLE,
        )
        if request.method != "HEAD":
            stream.start()
        return stream_response(stream)

    @routes.delete("/<stream_id>")
    def stop(stream_id: str) -> Response:
        available().stop(stream_id)
        return Response(status=204)

    def has_ended(client: str) -> None:
        running[client] -= 1
        if not running[client]:
            del running[client]

    def available() -> Journal:
        if journal is None:
            raise ApiError(
                503,
                "needs_redis",
                "resumable streams need SLUICE_REDIS_URL where there is more than one worker",
            )
        return journal

    return routes


def _last_event_id() -> int:
    """The number of the last event that the client has, 0 for none."""
    given = request.headers.get("Last-Event-ID") or request.args.get("last_event_id") or "0"
    if not (given.isascii() and given.isdigit()) or len(given) > _MAX_ID_DIGITS:
        raise ApiError(
            400,
            "invalid_request",
            "Last-Event-ID takes the number of an event of this stream",
            param="last_event_id",
        )
    return int(given)
