"""Flask apps that stream the events of a Script: as a bare generator, and through Sluice's response."""

import os
import time
from collections.abc import Iterator

from flask import Flask, Response, request

from flask_sluice import sse_response
from tests.doctor.zoo.origins import contents
from tests.doctor.zoo.origins.script import Script

app = Flask(__name__)
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@app.get("/plain")
def plain() -> Response:
    """The generator of most tutorials, and nothing more."""
    return Response(events(), mimetype="text/event-stream")


@app.get("/careful")
def careful() -> Response:
    """The same with the headers that a stream should have."""
    return Response(events(), mimetype="text/event-stream", headers=HEADERS)


@app.get("/sluice")
def sluice() -> Response:
    return sse_response(events(), keepalive=float(request.args.get("heartbeat", 0)))


def events() -> Iterator[bytes]:
    script = Script.of(request.query_string.decode())
    steps = contents.counted(script, request.headers.get("Last-Event-ID", ""))

    def run() -> Iterator[bytes]:
        for step in steps:
            if isinstance(step, float):
                time.sleep(step)
            else:
                yield step

    return run()


if "ZOO_COMPRESS" in os.environ:
    from flask_compress import Compress

    app.config["COMPRESS_MIMETYPES"] = ["text/event-stream"]
    app.config["COMPRESS_ALGORITHM"] = app.config["COMPRESS_STREAMING_ALGORITHM"] = "gzip"
    Compress(app)
