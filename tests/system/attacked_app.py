"""Sluice, with a paced stream for those who are not part of the attack, and a way to look into its worker."""

import time
from collections.abc import Iterator

from flask import Response

from app import app
from tests.server.inspection import register_inspection
from tests.system.bystanders import EVENTS, PACE_SECONDS
from wsgi.sse import Event
from wsgi.stream import sse_response

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
