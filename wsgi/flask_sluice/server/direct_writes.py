"""The outermost layer of a WSGI application under gunicorn: it lets streams write past gunicorn."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gevent import socket as gevent_socket

from flask_sluice.server.gunicorn_adapter import Response
from flask_sluice.stream.event_stream import EventStream
from flask_sluice.stream.transport.direct_writer import DirectWriter

if TYPE_CHECKING:
    # The standard library has these types (wsgiref.types) from Python 3.11 on.
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def with_direct_writes(application: "WSGIApplication") -> "WSGIApplication":
    """Let streams write past gunicorn (see ``DirectWriter``) where gunicorn itself iterates them.

    This layer is outermost, because a body that reaches it has passed all middleware: a stream that middleware has
    wrapped is not an EventStream here, and gunicorn writes it as usual. Without this layer gunicorn writes all streams.
    """

    def call(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        body = application(environ, start_response)
        if isinstance(body, EventStream):
            # ``start_response`` is a method of gunicorn's response.
            response: Any = getattr(start_response, "__self__", None)
            # Only for HTTP/1, on a socket without TLS: a TLS socket has no inner one that takes plain bytes.
            if type(response) is Response and type(response.sock) is gevent_socket.socket:
                body.write_directly(DirectWriter(response))
        return body

    return call
