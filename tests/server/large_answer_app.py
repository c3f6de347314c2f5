"""Sluice, with an answer that is not a stream and does not fit into its socket's buffers."""

import socket

from flask import Response, request

from app import app
from tests.server.inspection import register_inspection
from tests.server.large_answer import SIZE

register_inspection(app)


@app.get("/large")
def large() -> Response:
    sock = request.environ["gunicorn.socket"]
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
    return Response(bytes(SIZE))
