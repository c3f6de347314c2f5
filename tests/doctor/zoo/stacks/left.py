"""Servers whose reader leaves."""

from functools import partial

from tests.doctor.zoo.origins import served
from tests.doctor.zoo.origins.raw_origin import GAUGE
from tests.doctor.zoo.origins.script import path
from tests.doctor.zoo.proxies.nginx import SOUND, nginx
from tests.doctor.zoo.stack import Stack

METRICS = f"/metrics#{GAUGE}"


def left(verdicts: dict[str, str] | None = None, **script: object) -> Stack:
    options = {"events": 200, "interval": 0.05, **script}
    return Stack(path(**options), "leaving", verdicts or {}, metrics=METRICS)


STACKS = {
    "the server never notices that the reader has left": left(leaving="never"),
    "the server notices at once": left(),
    "the server notices at its next write": left(leaving="at-write"),
    "the server would notice at its next write, and is silent": left(
        leaving="at-write", events=4, silence=20
    ),
    "the server notices while it is silent": left(events=4, silence=20),
    "the server notices before the first event": left(first=5),
    "the server does not notice before the first event": left(first=8, leaving="at-write"),
    "nginx tells the server": Stack(
        path(events=200, interval=0.05),
        "leaving",
        fronts=(partial(nginx, location=SOUND),),
        metrics=METRICS,
    ),
    "nginx ignores that the client has left": Stack(
        path(events=200, interval=0.05),
        "leaving",
        fronts=(partial(nginx, location=SOUND + "proxy_ignore_client_abort on;"),),
        metrics=METRICS,
    ),
    "the gateway notices": Stack(
        "/v1/chat/completions",
        "leaving",
        origin=served.gateway,
        metrics="/metrics",
        options={"model": "test"},
    ),
}
