"""Stacks with no fault and no warning in any group."""

from functools import partial

from tests.doctor.zoo.origins import served
from tests.doctor.zoo.origins.script import path
from tests.doctor.zoo.proxies.apache import apache
from tests.doctor.zoo.proxies.caddy import caddy
from tests.doctor.zoo.proxies.envoy import envoy
from tests.doctor.zoo.proxies.haproxy import haproxy
from tests.doctor.zoo.proxies.nginx import SOUND, nginx
from tests.doctor.zoo.stack import Stack

ALL = "headers,delivery,silence,framing,end,resuming,leaving,load"
RESUMABLE = {
    "events": 30,
    "interval": 0.04,
    "ids": "ascending",
    "retry": "1000",
    "terminal": "over",
}
EVENTS = path(**RESUMABLE, stamp="sent_at", header="X-Accel-Buffering: no")
CHAT = "/v1/chat/completions"
TOKENS = path(CHAT, events=30, interval=0.02)
HTTP2 = {"http2": True}
QUICK = {"tls": True, "options": HTTP2}

STACKS = {
    "the origin is sound": Stack(EVENTS, ALL),
    "a completion is sound": Stack(TOKENS, ALL),
    "a message is sound": Stack(path("/v1/messages", events=30, interval=0.02), ALL),
    "nginx is sound": Stack(EVENTS, ALL, fronts=(partial(nginx, location=SOUND),)),
    "nginx in front of nginx is sound": Stack(
        EVENTS, ALL, fronts=(partial(nginx, location=SOUND), partial(nginx, location=SOUND))
    ),
    "nginx with HTTP/2 is sound": Stack(
        EVENTS, ALL, fronts=(partial(nginx, location=SOUND),), **QUICK
    ),
    "Apache is sound": Stack(EVENTS, ALL, fronts=(partial(apache, parameters="flushpackets=on"),)),
    "HAProxy is sound": Stack(EVENTS, ALL, fronts=(haproxy,)),
    "Caddy is sound as it comes": Stack(EVENTS, ALL, fronts=(caddy,)),
    "Caddy with HTTP/2 is sound": Stack(EVENTS, ALL, fronts=(caddy,), **QUICK),
    "Envoy is sound with its time limits off": Stack(EVENTS, ALL, fronts=(envoy,)),
    "Envoy with HTTP/2 is sound": Stack(EVENTS, ALL, fronts=(envoy,), **QUICK),
    "Sluice is sound": Stack(path("/sluice", **RESUMABLE), ALL, origin=served.sluice),
    "Sluice on gunicorn's threads is sound": Stack(
        path("/sluice", **RESUMABLE),
        "headers,delivery,silence,framing,end,resuming,leaving",
        origin=partial(served.gunicorn, "-k", "gthread", "--threads", "60"),
    ),
    "the gateway is sound": Stack(CHAT, ALL, origin=served.gateway, options={"model": "test"}),
    "sse-starlette is sound": Stack(
        path("/sse", events=30, interval=0.04), ALL, origin=served.uvicorn
    ),
    "a careful generator on waitress is sound": Stack(
        path("/careful", **RESUMABLE),
        "headers,delivery,silence,framing,end,resuming",
        origin=served.waitress,
    ),
}
