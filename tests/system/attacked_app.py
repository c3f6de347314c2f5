"""Sluice, with a paced stream for those who are not part of the attack, and a way to look into its worker."""

import itertools
import os
import socket
import time
from collections.abc import Iterator

from flask import Response, request
from gevent import monkey

from app import app
from flask_sluice import sse_response
from flask_sluice.sse import Event
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.event_stream import EventStream
from flask_sluice.stream.feeds.encode_items import ItemEncoder
from flask_sluice.stream.feeds.event_queue import EventQueue
from flask_sluice.stream.feeds.generator_feed import GeneratorFeed
from flask_sluice.stream.headers_and_errors import error_for_event_source
from flask_sluice.stream.options import StreamOptions
from flask_sluice.stream.responses import stream_response
from flask_sluice.stream.transport.client_socket import client_of
from tests.server.inspection import register_inspection
from tests.system.bystanders import EVENTS, PACE_SECONDS

register_inspection(app)


@app.get("/paced")
def paced() -> Response:
    return sse_response(_paced())


def _paced() -> Iterator[Event]:
    due = time.monotonic()
    for number in range(EVENTS):
        yield Event(data=str(number))
        due += PACE_SECONDS
        time.sleep(max(due - time.monotonic(), 0))
    yield Event(event="done", data="")


@app.get("/flooding")
def flooding() -> Response:
    """More than its socket's buffers hold, which are small; who does not read is soon dropped."""
    sock = request.environ["gunicorn.socket"]
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
    context = StreamContext()
    stream = EventStream(
        GeneratorFeed(
            itertools.repeat(b"data: " + b"x" * 4096 + b"\n\n"),
            context,
            EventQueue(8),
            ItemEncoder(),
        ),
        context=context,
        render_error=error_for_event_source,
        client=client_of(request.environ),
        options=StreamOptions(write_timeout_seconds=1),
    )
    return stream_response(stream)


@app.get("/block")
def block() -> dict[str, object]:
    """Does what no view under gevent should do: holds the whole worker up."""
    monkey.get_original("time", "sleep")(request.args.get("seconds", type=float))
    return {}


@app.get("/print-to")
def print_to() -> dict[str, object]:
    """From now on what the worker prints goes to a file that takes nothing."""
    if request.args["kind"] == "full-disk":
        broken = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, broken = os.pipe()
        os.close(reader)
    os.dup2(broken, 1)
    os.dup2(broken, 2)
    os.close(broken)
    return {}


@app.get("/set-clock")
def set_clock() -> dict[str, object]:
    """As when an operator, or NTP, sets it."""
    ahead = request.args.get("ahead", type=float)
    time.time = lambda: _time() + ahead
    return {"now": time.time()}


_time = time.time
