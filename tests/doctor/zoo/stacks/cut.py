"""Proxies that cut a stream, by silence or by age."""

from functools import partial

from tests.doctor.zoo.origins.script import path
from tests.doctor.zoo.proxies.apache import apache
from tests.doctor.zoo.proxies.caddy import caddy
from tests.doctor.zoo.proxies.envoy import envoy
from tests.doctor.zoo.proxies.haproxy import haproxy
from tests.doctor.zoo.proxies.nginx import SOUND, nginx
from tests.doctor.zoo.stack import Front, Stack

PACED = {"events": 5, "interval": 0.1, "silence": 5, "terminal": "over"}
SILENT = path(**PACED)
KEPT_ALIVE = path(**PACED, heartbeat=1)
TOKENS = path("/v1/chat/completions", **PACED)
BROKEN = {"end.body-end": "fault", "end.terminal-event": "skipped"}
CUT = {"silence.cut": "fault", **BROKEN}
ALIVE = {"silence.keep-alive": "ok"}
NGINX = partial(nginx, location=SOUND.replace("330s", "3s"))
HAPROXY = partial(haproxy, server_timeout="3s")
CADDY = partial(caddy, proxy="transport http {\n read_timeout 3s\n}")
ENVOY = partial(envoy, route={"timeout": "0s", "idle_timeout": "3s"})


def cut(
    front: Front, verdicts: dict[str, str], path: str = SILENT, *, http2: bool = False
) -> Stack:
    return Stack(
        path, "silence,end", verdicts, fronts=(front,), tls=http2, options={"http2": http2}
    )


STACKS = {
    "nginx cuts after 3 s of silence": cut(NGINX, CUT),
    "nginx resets the stream of HTTP/2 after 3 s of silence": cut(NGINX, CUT, http2=True),
    "comments keep nginx from cutting": cut(NGINX, ALIVE, KEPT_ALIVE),
    "HAProxy cuts after 3 s of silence": cut(HAPROXY, CUT),
    "comments keep HAProxy from cutting": cut(HAPROXY, ALIVE, KEPT_ALIVE),
    "Apache cuts after 3 s of silence": cut(partial(apache, directives="ProxyTimeout 3"), CUT),
    "Envoy cuts after 3 s of silence": cut(ENVOY, CUT),
    "Envoy resets the stream of HTTP/2 after 3 s of silence": cut(ENVOY, CUT, http2=True),
    "Envoy cuts each answer after 3 s": cut(
        partial(envoy, route={"timeout": "3s"}), BROKEN, path(events=50, interval=0.1)
    ),
    # It looks like an end of the server's, unless the stream has an event that says so.
    "Caddy ends the body properly after 3 s of silence": cut(
        CADDY, {"end.terminal-event": "warning"}
    ),
    "Caddy ends a completion properly after 3 s of silence": cut(
        CADDY, {"end.terminal-event": "fault", "end.error-before": "ok"}, TOKENS
    ),
}
