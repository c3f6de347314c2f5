"""Apps whose streams are reported to the doctor, on two servers that run in threads of the test."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import uvicorn
from flask import Flask, Response
from werkzeug.serving import make_server

from flask_sluice.doctor.helping import asgi, wsgi

EVENTS = 200
INTERVAL_SECONDS = 0.02


def flask_app(prefill_seconds: float = 0.0) -> Flask:
    """A bare generator, which its server closes at the write that fails."""
    app = Flask(__name__)

    @app.get("/events")
    def events() -> Response:
        def run() -> Iterator[bytes]:
            time.sleep(prefill_seconds)
            for number in range(EVENTS):
                yield b'data: {"number": %d}\n\n' % number
                time.sleep(INTERVAL_SECONDS)

        return Response(run(), mimetype="text/event-stream")

    @app.get("/broken")
    def broken() -> Response:
        def run() -> Iterator[bytes]:
            yield b"data: 1\n\n"
            raise ValueError("on purpose")

        return Response(run(), mimetype="text/event-stream")

    app.wsgi_app = wsgi.DoctorMiddleware(app.wsgi_app)  # type: ignore[method-assign]
    return app


@contextlib.contextmanager
def werkzeug_server(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def listening_app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Streams, and ends when it is told that the reader has left."""
    await _stream(send, until=lambda: _left(receive))


async def deaf_app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Streams to its end, whatever becomes of the reader."""
    await _stream(send, until=None)


async def _left(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _stream(send: Any, until: Callable[[], Awaitable[None]] | None) -> None:
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    leaving = asyncio.ensure_future(until()) if until else None
    for number in range(EVENTS):
        if leaving is not None and leaving.done():
            return
        body = b'data: {"number": %d}\n\n' % number
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await asyncio.sleep(INTERVAL_SECONDS)
    if leaving is not None:
        leaving.cancel()
    await send({"type": "http.response.body", "body": b""})


@contextlib.contextmanager
def uvicorn_server(app: Any) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(asgi.DoctorMiddleware(app), log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join()
        listener.close()
