"""Resumable streams: an answer is generated once, and any number of readers read it, from any event on."""

import secrets
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

from flask import Blueprint, Response, request, url_for

from flask_sluice.gateway.api.event_source import (
    RETRY_MS,
    event_source_response,
    last_event_id,
    no_more_events,
)
from flask_sluice.gateway.relay.completion_chunks import ChunkReader
from flask_sluice.gateway.request.access.tickets import Permission, Tickets
from flask_sluice.gateway.request.client_identity import owner_name
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
    tickets: Tickets | None,
) -> Blueprint:
    """Return the routes below /v1/streams.

    open_feed: checks the current request and returns the feed of its answer, a stream of chat completion chunks
    journal: keeps the streams
    tickets: stand for API keys in the streams' URLs; None where no key is needed
    """
    streams = Streams(open_feed, journal, settings, tickets)
    routes = Blueprint("streams", __name__, url_prefix="/v1/streams")
    routes.post("")(streams.create)
    routes.get("/<stream_id>")(streams.read)
    routes.delete("/<stream_id>")(streams.stop)
    return routes


class Streams:
    """The views of one worker that start, read and stop an answer."""

    def __init__(
        self,
        open_feed: Callable[[StreamContext], Feed],
        journal: Journal,
        settings: Settings,
        tickets: Tickets | None,
    ) -> None:
        self._open_feed = open_feed
        self._journal = journal
        self._settings = settings
        self._tickets = tickets
        self._running = RunningStreams(settings.streams_per_client)
        self._options = StreamOptions(
            keepalive_seconds=0,
            idle_timeout_seconds=settings.idle_timeout_seconds,
            deadline_seconds=settings.stream_timeout_seconds,
        )

    def create(self) -> tuple[dict[str, object], int, dict[str, str]]:
        journal = self._available_journal()
        stream_id = secrets.token_urlsafe(16)
        context = context_of(request)
        # This reads the body, which may take a minute and names the user. Only then is the stream counted, and at once.
        feed = self._open_feed(context)
        client = owner_name(self._settings)
        with ExitStack() as on_failure:
            on_failure.callback(feed.stop)
            self._running.add(client)
            on_failure.callback(self._running.remove, client)
            generation = Generation(
                feed,
                context,
                self._options,
                ChunkReader(),
                on_end=lambda: self._running.remove(client),
            )
            generation.start(journal, stream_id, client)
            on_failure.pop_all()
        expires_at = self._expires_at()
        url = self._url(stream_id, expires_at, "read")
        body = {
            "id": stream_id,
            "url": url,
            "stop_url": self._url(stream_id, expires_at, "stop"),
            "expires_at": expires_at,
        }
        return body, 201, {"Location": url}

    def read(self, stream_id: str) -> Response:
        context = context_of(request)
        feed = JournalFeed(self._available_journal(), stream_id, last_event_id(), RETRY_MS, context)
        if feed.is_finished and not feed.has_events:
            feed.stop()
            return no_more_events()
        return event_source_response(feed, context, self._settings)

    def stop(self, stream_id: str) -> Response:
        self._available_journal().stop(stream_id)
        return Response(status=204)

    def _available_journal(self) -> Journal:
        # With several processes the next request about a stream would often reach one that does not have it. The server
        # knows how many there are, whichever way it was configured (PEP 3333, "environ Variables").
        if request.environ["wsgi.multiprocess"] and not self._journal.is_shared:
            raise ApiError(
                503,
                "needs_redis",
                "resumable streams need SLUICE_REDIS_URL where there is more than one worker",
            )
        return self._journal

    def _expires_at(self) -> int:
        """Return the latest time at which the answer is forgotten, which is some time after its end."""
        settings = self._settings
        return int(time.time() + settings.stream_timeout_seconds + settings.history_seconds)

    def _url(self, stream_id: str, expires_at: int, permission: Permission) -> str:
        url = url_for("streams.read", stream_id=stream_id)
        if self._tickets is None:
            return url
        return f"{url}?ticket={self._tickets.issue(stream_id, expires_at, permission)}"


class RunningStreams:
    """Counts the answers that are being generated for each client.

    limit: the most that one client may have; a client without a name (see ``owner_name``) has no limit
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._counts: Counter[str] = Counter()

    def add(self, client: str) -> None:
        """Check and count one more answer, in one step. Raises ApiError 429 at the limit."""
        if client and self._counts[client] >= self._limit:
            raise ApiError(
                429,
                "rate_limit_exceeded",
                f"{self._counts[client]} resumable streams of yours are running, the limit",
                headers={"Retry-After": str(_RETRY_SECONDS)},
            )
        self._counts[client] += 1

    def remove(self, client: str) -> None:
        self._counts[client] -= 1
        if not self._counts[client]:
            del self._counts[client]
