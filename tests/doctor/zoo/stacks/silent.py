"""Streams that are silent for a while, with and without a sign of life."""

from functools import partial

from tests.doctor.zoo.origins import served
from tests.doctor.zoo.origins.script import path
from tests.doctor.zoo.proxies.nginx import SOUND, nginx
from tests.doctor.zoo.stack import Stack

PACED = {"events": 3, "interval": 0.1, "silence": 3}
ALIVE = "silence.keep-alive"


def silent(verdicts: dict[str, str] | None = None, **script: object) -> Stack:
    """A stream that is silent for 3 s before its last event."""
    return Stack(
        path(**{**PACED, **script}),
        "silence",
        {ALIVE: "ok", **(verdicts or {})},
        options={"read_seconds": 20},
    )


STACKS = {
    "nothing is sent in a silence of 3 s, which no proxy minds": silent({ALIVE: "skipped"}),
    "a comment is sent each half second": silent(heartbeat=0.5),
    "a comment without its blank line is sent each half second": silent(
        heartbeat=0.5, heartbeat_form="line"
    ),
    "an event is sent each half second": silent(heartbeat=0.5, heartbeat_form="event"),
    "nothing is sent for 16 s": silent({ALIVE: "warning"}, silence=16),
    "a completion has events without a meaning": Stack(
        path("/v1/chat/completions", **PACED, heartbeat=0.5, heartbeat_form="event"),
        "silence",
        {ALIVE: "warning"},
    ),
    "a completion has comments": Stack(
        path("/v1/chat/completions", **PACED, heartbeat=0.5), "silence", {ALIVE: "ok"}
    ),
    "no silence is long enough for a sign of life": Stack(path(events=20, interval=0.1), "silence"),
    "Sluice keeps a silent stream alive": Stack(
        path("/sluice", **PACED, heartbeat=0.5),
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
        path(**PACED, heartbeat=0.5),
        "silence",
        {ALIVE: "ok"},
        fronts=(partial(nginx, location=SOUND),),
    ),
}
