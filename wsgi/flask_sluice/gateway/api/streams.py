"""Resumable streams: an answer is generated once, and read by anybody, at any time, from any event on."""

import secrets
import time
from collections import Counter
from collections.abc import Callable

from flask import Blueprint, Response, request, url_for

from flask_sluice.gateway.api.event_source import (
    RETRY_MS,
    event_source_response,
    last_event_id,
    nothing_more,
)
from flask_sluice.gateway.relay.completion_chunks import ChunkReader
from flask_sluice.gateway.request.auth import Tickets
from flask_sluice.gateway.request.client_identity import client_name
from flask_sluice.gateway.settings import Settings
from flask_sluice.journal import Journal
from flask_sluice.journal.feed import JournalFeed
from flask_sluice.journal.generation import Generation
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.feeds.feed import Feed
from flask_sluice.stream.options import StreamOptions
from flask_sluice.stream.responses import context_of

_RETRY_SECONDS = 5


def blueprint(
    open_feed: Callable[[StreamContext], Feed],
    journal: Journal,
    settings: Settings,
) -> Blueprint:
    """open_feed: checks the current request and gives the feed of its answer, a stream of chat chunks
    journal: keeps the streams"""
    streams = Streams(open_feed, journal, settings)
    routes = Blueprint("streams", __name__, url_prefix="/v1/streams")
    routes.post("")(streams.create)
    routes.get("/<stream_id>")(streams.read)
    routes.delete("/<stream_id>")(streams.stop)
    return routes


class Streams:
    """The views of a worker: what begins an answer, what reads it, what stops it."""

    def __init__(
        self,
        open_feed: Callable[[StreamContext], Feed],
        journal: Journal,
        settings: Settings,
    ) -> None:
        self._open_feed = open_feed
        self._journal = journal
        self._settings = settings
        self._tickets = Tickets(settings.api_keys)
        self._running = RunningStreams(settings.streams_per_client)
        self._generating = StreamOptions(
            keepalive_seconds=0,
            idle_timeout_seconds=settings.idle_timeout_seconds,
            deadline_seconds=settings.stream_timeout_seconds,
        )

    def create(self) -> tuple[dict[str, object], int, dict[str, str]]:
        journal = self._available_journal()
        # Behind a unix socket all come from the same place, unless the proxy is trusted to say whence.
        client = client_name(self._settings)
        self._running.check(client)
        context = context_of(request)
        generation = Generation(
            self._open_feed(context),
            context,
            self._generating,
            ChunkReader(),
            on_end=lambda: self._running.remove(client),
        )
        stream_id = secrets.token_urlsafe(16)
        generation.start(journal, stream_id)
        self._running.add(client)
        expires_at = self._expires_at()
        url = self._url(stream_id, expires_at)
        body = {"id": stream_id, "url": url, "expires_at": expires_at}
        return body, 201, {"Location": url}

    def read(self, stream_id: str) -> Response:
        feed = JournalFeed(self._available_journal(), stream_id, last_event_id(), RETRY_MS)
        if feed.is_finished and not feed.has_events:
            feed.stop()
            return nothing_more()
        return event_source_response(feed, context_of(request), self._settings)

    def stop(self, stream_id: str) -> Response:
        self._available_journal().stop(stream_id)
        return Response(status=204)

    def _available_journal(self) -> Journal:
        # The server says how many processes there are, however it was told (PEP 3333): with several, the next request
        # about a stream would often reach one that does not have it.
        if request.environ["wsgi.multiprocess"] and not self._journal.is_shared:
            raise ApiError(
                503,
                "needs_redis",
                "resumable streams need SLUICE_REDIS_URL where there is more than one worker",
            )
        return self._journal

    def _expires_at(self) -> int:
        """At the latest: an answer is kept so long after its end, which may come earlier."""
        settings = self._settings
        return int(time.time() + settings.stream_timeout_seconds + settings.history_seconds)

    def _url(self, stream_id: str, expires_at: int) -> str:
        url = url_for("streams.read", stream_id=stream_id)
        if self._settings.api_keys:
            url = f"{url}?ticket={self._tickets.issue(stream_id, expires_at)}"
        return url


class RunningStreams:
    """How many answers are being generated for each client.

    limit: for each; a client without a name has none
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._counts: Counter[str] = Counter()

    def check(self, client: str) -> None:
        """Raises ApiError if there may be no more."""
        if client and self._counts[client] >= self._limit:
            raise ApiError(
                429,
                "rate_limit_exceeded",
                f"{self._counts[client]} resumable streams of yours are running, the limit",
                headers={"Retry-After": str(_RETRY_SECONDS)},
            )

    def add(self, client: str) -> None:
        self._counts[client] += 1

    def remove(self, client: str) -> None:
        self._counts[client] -= 1
        if not self._counts[client]:
            del self._counts[client]
