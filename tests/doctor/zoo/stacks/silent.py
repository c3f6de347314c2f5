"""Streams that are silent for a while, with and without a sign of life."""

from functools import partial

from tests.doctor.zoo.origins import served
from tests.doctor.zoo.origins.script import path
from tests.doctor.zoo.proxies.nginx import SOUND, nginx
from tests.doctor.zoo.stack import Stack

ALIVE = "silence.keep-alive"


def silent(verdicts: dict[str, str] | None = None, **script: object) -> Stack:
    """A stream that is silent for 3 s before its last event."""
    options = {"events": 3, "interval": 0.1, "silence": 3, **script}
    return Stack(path(**options), "silence", {ALIVE: "ok", **(verdicts or {})})


STACKS = {
    "nothing is sent in a silence of 3 s, which no proxy minds": silent({ALIVE: "skipped"}),
    "a comment is sent each half second": silent(heartbeat=0.5),
    "a comment without its blank line is sent each half second": silent(
        heartbeat=0.5, heartbeat_form="line"
    ),
    "an event is sent each half second": silent(heartbeat=0.5, heartbeat_form="event"),
    "no silence is long enough for a sign of life": Stack(path(events=20, interval=0.1), "silence"),
    "Sluice keeps a silent stream alive": Stack(
        path("/sluice", events=3, interval=0.1, silence=3, heartbeat=0.5),
        "silence",
        {ALIVE: "ok"},
        origin=served.sluice,
    ),
    "sse-starlette pings": Stack(
        path("/sse", events=3, interval=0.1, silence=4, heartbeat=1),
        "silence",
        {ALIVE: "ok"},
        origin=served.uvicorn,
    ),
    "nginx passes comments on": Stack(
        path(events=3, interval=0.1, silence=3, heartbeat=0.5),
        "silence",
        {ALIVE: "ok"},
        fronts=(partial(nginx, location=SOUND),),
    ),
}
