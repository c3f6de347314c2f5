"""Readers that an app's nginx hands over: their tickets stand for all other checks, since a view of the app has made its own."""

import logging
from functools import cache
from typing import TYPE_CHECKING

from flask import Flask, Response, request

from flask_sluice.extension.handed_readers import (
    LOCATION,
    HandedReader,
    HandoffTickets,
    RefusedTicketError,
)
from flask_sluice.stream.errors import ApiError

if TYPE_CHECKING:
    # The standard library has these types (wsgiref.types) from Python 3.11 on.
    from _typeshed.wsgi import WSGIEnvironment

logger = logging.getLogger("sluice.api")

_READER = "sluice.handed_reader"


def register(app: Flask, tickets: HandoffTickets) -> None:
    """Check the ticket of each request for such a reader, before anything else is looked at.

    Without a valid one it is a 404, as if the gateway knew of no hand-off. The log says why.
    """

    @app.before_request
    def check_ticket() -> None:
        if not request.path.startswith(LOCATION):
            return
        ticket = request.args.get("ticket", "")
        try:
            reader = tickets.reader_of(ticket, request.path.removeprefix(LOCATION))
        except RefusedTicketError as error:
            if ticket:
                _warn(error.args[0])
            raise ApiError(404, "not_found", f"there is no {request.path} here") from None
        request.environ["sluice.request_id"] = reader.request_id
        request.environ[_READER] = reader

    @app.after_request
    def add_apps_headers(response: Response) -> Response:
        # Registered first and so called last: what the app has said of CORS counts, and not what the gateway would say.
        reader = handed_reader(request.environ)
        if reader is None:
            return response
        names = {name.lower() for name, _ in reader.headers} - {"vary"}
        for name in names:
            response.headers.remove(name)
        for name, value in reader.headers:
            response.headers.add(name, value)
        return response


def handed_reader(environ: "WSGIEnvironment") -> HandedReader | None:
    """Return the reader that a request with a valid ticket is for; None for other requests."""
    return environ.get(_READER)


@cache
def _warn(reason: str) -> None:
    """Warn of a mistake once: it concerns each reader."""
    logger.warning("a reader that was handed over is refused: %s", reason)
