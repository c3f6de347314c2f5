"""Hand-off: a view answers with an empty response, upon which nginx asks ``sluice serve`` for the reader's stream."""

import time
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec
import werkzeug.datastructures
from flask import current_app, request

from flask_sluice.extension.config import ExtensionConfig
from flask_sluice.extension.handed_readers import TICKET_SECONDS, HandedReader, HandoffTickets
from flask_sluice.extension.ticket_signer import parse_keys
from flask_sluice.stream.options import stream_options
from flask_sluice.stream.responses import (
    GivenHeaders,
    OneClientResponse,
    checked_headers,
    request_id,
)

if TYPE_CHECKING:
    # The standard library has these types (wsgiref.types) from Python 3.11 on.
    from _typeshed.wsgi import WSGIEnvironment

_NOT_HANDED_OVER = frozenset(
    {
        # nginx passes these on itself, beside those of the gateway's response.
        *("set-cookie", "cache-control", "expires", "content-disposition", "accept-ranges"),
        # These tell of the empty response. The gateway's has its own.
        *("content-type", "content-length", "content-encoding", "etag", "last-modified"),
        *("date", "server", "connection", "transfer-encoding", "x-accel-redirect"),
    }
)


class HandOff:
    """Makes an app's responses that hand a reader over. config: the app's"""

    def __init__(self, config: ExtensionConfig) -> None:
        self._config = config

    def check(self) -> None:
        """Raise RuntimeError, saying what to set, if the app is not prepared for a hand-off."""
        if self._config.secret_key is None:
            raise RuntimeError(
                'a hand-off needs app.config["SLUICE_SECRET_KEY"], and the same in SLUICE_SECRET_KEY of `sluice serve`: '
                "a long random text, such as `openssl rand -hex 24` prints"
            )
        if self._config.redis_url is None:
            raise RuntimeError(
                'a hand-off needs app.config["SLUICE_REDIS_URL"], and the same in SLUICE_REDIS_URL of `sluice serve`, '
                "which is another process"
            )

    def response(
        self, reader: HandedReader, keepalive: float | None, headers: GivenHeaders | None
    ) -> "HandoffResponse":
        """Return the response that hands over a reader of the current request. headers: beside those that the app will set"""
        config = current_app.config
        options = stream_options(config, keepalive, None)
        has_keepalive = keepalive is not None or config.get("SLUICE_KEEPALIVE_SECONDS") is not None
        reader = msgspec.structs.replace(
            reader,
            expires_at=int(time.time()) + TICKET_SECONDS,
            request_id=request_id(request),
            readers_per_owner=self._config.readers_per_owner,
            keepalive_seconds=options.keepalive_seconds if has_keepalive else None,
            deadline_seconds=options.deadline_seconds,
        )
        response = HandoffResponse(self._config.handoff_location, self._tickets, reader)
        response.headers.extend(checked_headers(headers))
        return response

    @cached_property
    def _tickets(self) -> HandoffTickets:
        return HandoffTickets(parse_keys(self._config.secret_key or ""))


class HandoffResponse(OneClientResponse):
    """An empty response that tells nginx where the stream is.

    The client gets the headers that the app sets on it, in the view or in ``after_request``, as if it were the stream.

    location: of nginx, with a slash at both ends
    """

    default_mimetype = "text/event-stream"

    def __init__(self, location: str, tickets: HandoffTickets, reader: HandedReader) -> None:
        super().__init__()
        self._location = location
        self._tickets = tickets
        self._reader = reader
        self.headers["X-Accel-Redirect"] = self._target(self.headers)

    def get_wsgi_headers(self, environ: "WSGIEnvironment") -> werkzeug.datastructures.Headers:
        headers = super().get_wsgi_headers(environ)
        headers["X-Accel-Redirect"] = self._target(headers)
        return headers

    def _target(self, headers: werkzeug.datastructures.Headers) -> str:
        own = [(name, value) for name, value in headers if name.lower() not in _NOT_HANDED_OVER]
        reader = msgspec.structs.replace(self._reader, headers=own)
        return self._location + self._tickets.target(reader)
