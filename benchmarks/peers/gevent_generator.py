"""A relay as one writes it in a Flask view on a gevent worker: a generator over urllib3's ``stream()``, and nothing else."""

import os
from collections.abc import Iterator

import urllib3
from flask import Flask, Response, request

app = Flask(__name__)
_UPSTREAM = os.environ["UPSTREAM"]
_upstream = urllib3.PoolManager(maxsize=1000)


@app.post("/v1/chat/completions")
def relay() -> Response:
    answer = _upstream.request(
        "POST",
        f"{_UPSTREAM}/v1/chat/completions",
        body=request.get_data(),
        headers={"Content-Type": "application/json"},
        preload_content=False,
    )

    def events() -> Iterator[bytes]:
        try:
            yield from answer.stream(65536)
        finally:
            answer.release_conn()

    return Response(events(), content_type="text/event-stream")
