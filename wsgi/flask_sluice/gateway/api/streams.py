"""Resumable streams: an answer is generated once, and any number of readers read it, from any event on."""

import time
from collections.abc import Callable

from flask import Blueprint, Response, request, url_for

from flask_sluice.extension.reading import last_event_id
from flask_sluice.extension.streams import AppStreams
from flask_sluice.gateway.api.event_source import follow_response
from flask_sluice.gateway.api.openapi.operation import (
    INTEGER,
    TEXT,
    Operation,
    Operations,
    json_object,
)
from flask_sluice.gateway.relay.completion_chunks import ChunkReader
from flask_sluice.gateway.request.access.tickets import Permission, Tickets
from flask_sluice.gateway.request.client_identity import owner_name
from flask_sluice.gateway.settings import Settings
from flask_sluice.journal.errors import UnknownStreamError
from flask_sluice.journal.producing.arguments import GATEWAYS, new_id
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.feeds.feed import Feed
from flask_sluice.stream.responses import context_of

_AFTER = {
    "last_event_id": "the number of the event after which to go on; the header Last-Event-ID says the same",
    "ticket": "stands for the API key, for this stream alone",
}
_TICKET = {"ticket": _AFTER["ticket"]}
OPERATIONS: Operations = {
    ("POST", "/v1/streams"): Operation(
        "Begin an answer that any number of readers may read, and come back to",
        "Resumable streams",
        body=json_object("model", "messages", model=TEXT, messages={"type": "array"}),
        answer=json_object(
            *("id", "url", "stop_url", "expires_at"),
            id=TEXT,
            url=TEXT,
            stop_url=TEXT,
            expires_at=INTEGER,
        ),
        status=201,
    ),
    ("GET", "/v1/streams/<stream_id>"): Operation(
        "Read an answer, from any event on; 204 for a reader that has seen its end",
        "Resumable streams",
        streams="text/event-stream",
        query=_AFTER,
    ),
    ("GET", "/v1/streams/<stream_id>/status"): Operation(
        "Tell how an answer stands",
        "Resumable streams",
        answer=json_object(
            "id",
            "state",
            "last_id",
            id=TEXT,
            state=TEXT,
            last_id=INTEGER,
            error={"type": ["object", "null"]},
        ),
        query=_TICKET,
    ),
    ("DELETE", "/v1/streams/<stream_id>"): Operation(
        "Stop an answer", "Resumable streams", status=204, query=_TICKET
    ),
}


def blueprint(
    open_feed: Callable[[StreamContext], Feed],
    streams: AppStreams,
    settings: Settings,
    tickets: Tickets | None,
) -> Blueprint:
    """Return the routes below /v1/streams.

    open_feed: checks the current request and returns the feed of its answer, a stream of chat completion chunks
    streams: keeps the answers
    tickets: stand for API keys in the streams' URLs; None where no key is needed
    """
    views = StreamViews(open_feed, streams, settings, tickets)
    routes = Blueprint("streams", __name__, url_prefix="/v1/streams")
    routes.post("")(views.create)
    routes.get("/<stream_id>")(views.read)
    routes.get("/<stream_id>/status")(views.status)
    routes.delete("/<stream_id>")(views.stop)
    return routes


class StreamViews:
    """The views of one worker that start, read and stop an answer."""

    def __init__(
        self,
        open_feed: Callable[[StreamContext], Feed],
        streams: AppStreams,
        settings: Settings,
        tickets: Tickets | None,
    ) -> None:
        self._open_feed = open_feed
        self._streams = streams
        self._settings = settings
        self._tickets = tickets
        self._options = settings.generation_options

    def create(self) -> tuple[dict[str, object], int, dict[str, str]]:
        self._streams.require_shared()
        context = context_of(request)
        # This reads the body, which may take a minute and names the user. Only then is the stream counted, and at once.
        feed = self._open_feed(context)
        owner = owner_name(self._settings)
        stream = self._streams.generate(
            feed, context, self._options, ChunkReader(), owner=owner, stream_id=new_id(GATEWAYS)
        )
        expires_at = self._expires_at()
        url = self._url(stream.id, expires_at, "read")
        body: dict[str, object] = {
            "id": stream.id,
            "url": url,
            "stop_url": self._url(stream.id, expires_at, "stop"),
            "expires_at": expires_at,
        }
        return body, 201, {"Location": url}

    def read(self, stream_id: str) -> Response:
        self._streams.require_shared()
        follow = self._streams.reader(_checked(stream_id), last_event_id())
        return follow_response(follow, context_of(request), self._settings)

    def status(self, stream_id: str) -> dict[str, object]:
        self._streams.require_shared()
        return self._streams.status(_checked(stream_id)).as_dict()

    def stop(self, stream_id: str) -> Response:
        self._streams.require_shared()
        self._streams.stop(_checked(stream_id))
        return Response(status=204)

    def _expires_at(self) -> int:
        """Return the latest time at which the answer is forgotten, which is some time after its end."""
        settings = self._settings
        return int(time.time() + settings.stream_timeout_seconds + settings.history_seconds)

    def _url(self, stream_id: str, expires_at: int, permission: Permission) -> str:
        url = url_for("streams.read", stream_id=stream_id)
        if self._tickets is None:
            return url
        return f"{url}?ticket={self._tickets.issue(stream_id, expires_at, permission)}"


def _checked(stream_id: str) -> str:
    """Raise UnknownStreamError for a stream of an app's own, which only the app's views may hand out."""
    if not stream_id.startswith(GATEWAYS):
        raise UnknownStreamError
    return stream_id
