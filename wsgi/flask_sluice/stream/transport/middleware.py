"""The outermost layer of a WSGI application under gunicorn."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask_sluice.stream.event_stream import EventStream

if TYPE_CHECKING:
    # The standard library has these types (wsgiref.types) from Python 3.11 on.
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def with_direct_writes(application: "WSGIApplication") -> "WSGIApplication":
    """Lets streams write past gunicorn (see ``DirectWriter``), where gunicorn itself iterates them.

    Outermost, because what comes out here has passed all middleware: a stream that some middleware has
    wrapped is no EventStream any more, and is written by gunicorn as ever. Without this layer all are.
    """

    def call(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        body = application(environ, start_response)
        if isinstance(body, EventStream):
            # The method of gunicorn's Response.
            body.write_directly(getattr(start_response, "__self__", None))
        return body

    return call
