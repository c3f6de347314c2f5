"""Stacks with no fault and no warning in any group."""

from functools import partial

from tests.doctor.zoo.origins import served
from tests.doctor.zoo.origins.script import path
from tests.doctor.zoo.proxies.apache import apache
from tests.doctor.zoo.proxies.caddy import caddy
from tests.doctor.zoo.proxies.envoy import envoy
from tests.doctor.zoo.proxies.haproxy import haproxy
from tests.doctor.zoo.proxies.nginx import SOUND, nginx
from tests.doctor.zoo.stack import Front, Origin, Stack

GROUPS = "headers,delivery,silence,framing,end,resuming,load"
WITHOUT_LOAD = GROUPS.removesuffix(",load")
CHAT = "/v1/chat/completions"
RESUMABLE = {
    "events": 30,
    "interval": 0.04,
    "ids": "ascending",
    "retry": "1000",
    "terminal": "over",
}
EVENTS = path(**RESUMABLE, stamp="sent_at", header="X-Accel-Buffering: no")
WITH_IDS = {"framing.ids": "ok", "framing.retry": "ok"}
OF_AN_API = {"end.error-before": "ok", "resuming.last-event-id": "skipped"}


def resumable(*fronts: Front, groups: str = GROUPS, http2: bool = False) -> Stack:
    """The raw origin behind these."""
    return Stack(EVENTS, groups, WITH_IDS, fronts=fronts, tls=http2, options={"http2": http2})


def served_by(origin: Origin, route: str, groups: str = GROUPS) -> Stack:
    return Stack(path(route, **RESUMABLE), groups, WITH_IDS, origin=origin)


def api(
    route: str, verdicts: dict[str, str], *fronts: Front, http2: bool = False, **script: object
) -> Stack:
    return Stack(
        path(route, **{"events": 30, "interval": 0.02, **script}),
        GROUPS,
        {**OF_AN_API, **verdicts},
        fronts=fronts,
        tls=http2,
        options={"http2": http2},
    )


SOUND_NGINX = partial(nginx, location=SOUND)
STACKS = {
    "the origin is sound": resumable(),
    "a completion is sound": api(CHAT, {}),
    "a completion is sound behind nginx": api(CHAT, {}, SOUND_NGINX),
    "a message is sound": api("/v1/messages", {"silence.keep-alive": "ok"}),
    "nginx is sound": resumable(SOUND_NGINX),
    "nginx in front of nginx is sound": resumable(SOUND_NGINX, SOUND_NGINX),
    "nginx with HTTP/2 is sound": resumable(SOUND_NGINX, http2=True),
    "Apache is sound": resumable(partial(apache, parameters="flushpackets=on")),
    "Apache with HTTP/2 is sound": resumable(apache, http2=True),
    "HAProxy is sound": resumable(haproxy),
    "HAProxy with HTTP/2 is sound": resumable(haproxy, http2=True),
    "Caddy is sound as it comes": resumable(caddy),
    "Caddy with HTTP/2 is sound": resumable(caddy, http2=True),
    "Envoy is sound with its time limits off": resumable(envoy),
    "Envoy with HTTP/2 is sound": resumable(envoy, http2=True),
    "Sluice is sound": served_by(served.sluice, "/sluice"),
    "Sluice on gunicorn's threads is sound": served_by(
        partial(served.gunicorn, "-k", "gthread", "--threads", "60"), "/sluice"
    ),
    "sse-starlette is sound": served_by(served.uvicorn, "/sse"),
    "a careful generator on waitress is sound": served_by(
        served.waitress, "/careful", WITHOUT_LOAD
    ),
    "a careful generator on uvicorn is sound": served_by(served.uvicorn, "/careful"),
    "the gateway is sound": Stack(
        CHAT,
        f"{GROUPS},leaving",
        {**OF_AN_API, "load.slow-reader": "ok"},
        origin=served.gateway,
        options={"model": "test"},
    ),
}
