"""Streams for readers that an app's nginx hands over: the app has authenticated them, and said what they may read."""

import dataclasses
from functools import partial

from flask import Blueprint, Response, request

from flask_sluice.channels import Channels
from flask_sluice.extension.handed_readers import (
    LOCATION,
    ChannelsReader,
    HandedReader,
    StreamReader,
)
from flask_sluice.extension.reading import ReadingResponse
from flask_sluice.extension.streams import AppStreams
from flask_sluice.gateway.request.access.handed_over import handed_reader
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.options import StreamOptions
from flask_sluice.stream.responses import context_of
from flask_sluice.stream.transport.client_socket import client_of


def blueprint(streams: AppStreams, channels: Channels, options: StreamOptions) -> Blueprint:
    """Return the routes below ``/_sluice/``, where each request has a ticket that ``handed_over`` has checked.

    channels: those of all apps with this Redis
    options: of the responses, where the app says nothing else
    """
    routes = Blueprint("handoff", __name__, url_prefix=LOCATION.rstrip("/"))

    @routes.get("/streams/<stream_id>")
    def read_stream(stream_id: str) -> Response:
        reader = handed_reader(request.environ)
        assert isinstance(reader, StreamReader)
        follow = streams.reader(
            stream_id, reader.after, owner=reader.owner, wait=reader.wait_seconds
        )
        return streams.counted(
            reader.owner,
            partial(_reading(reader, options).on_gevent, follow, client_of(request.environ)),
            reader.readers_per_owner,
        )

    @routes.get("/channels")
    def read_channels() -> Response:
        reader = handed_reader(request.environ)
        assert isinstance(reader, ChannelsReader)
        follow = partial(
            channels.follow,
            reader.names,
            reader.last_event_id,
            owner=reader.owner,
            details=reader.details,
            readers_per_owner=reader.readers_per_owner,
        )
        return _reading(reader, options).on_gevent(follow, client_of(request.environ))

    @routes.before_request
    def require_redis() -> None:
        if not streams.journal.is_shared:
            raise ApiError(
                503,
                "needs_redis",
                "a hand-off needs SLUICE_REDIS_URL of the gateway, the same as the app's",
            )

    return routes


def _reading(reader: HandedReader, options: StreamOptions) -> ReadingResponse:
    keepalive_seconds = reader.keepalive_seconds
    if keepalive_seconds is None:
        keepalive_seconds = options.keepalive_seconds
    return ReadingResponse(
        context_of(request),
        dataclasses.replace(
            options,
            keepalive_seconds=keepalive_seconds,
            deadline_seconds=reader.deadline_seconds,
        ),
        retry_ms=reader.retry_ms,
    )
