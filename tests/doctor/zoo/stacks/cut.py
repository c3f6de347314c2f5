"""Proxies that cut a stream, by silence or by age."""

from functools import partial

from tests.doctor.zoo.origins.script import path
from tests.doctor.zoo.proxies.apache import apache
from tests.doctor.zoo.proxies.caddy import caddy
from tests.doctor.zoo.proxies.envoy import envoy
from tests.doctor.zoo.proxies.haproxy import haproxy
from tests.doctor.zoo.proxies.nginx import SOUND, nginx
from tests.doctor.zoo.stack import Stack

SILENT = path(events=5, interval=0.1, silence=5)
KEPT_ALIVE = path(events=5, interval=0.1, silence=5, heartbeat=1)
GROUPS = "silence,end"

STACKS = {
    "nginx cuts after 3 s of silence": Stack(
        SILENT, GROUPS, fronts=(partial(nginx, location=SOUND.replace("330s", "3s")),)
    ),
    "comments keep nginx from cutting after 3 s of silence": Stack(
        KEPT_ALIVE, GROUPS, fronts=(partial(nginx, location=SOUND.replace("330s", "3s")),)
    ),
    "HAProxy cuts after 3 s of silence": Stack(
        SILENT, GROUPS, fronts=(partial(haproxy, server_timeout="3s"),)
    ),
    "comments keep HAProxy from cutting after 3 s of silence": Stack(
        KEPT_ALIVE, GROUPS, fronts=(partial(haproxy, server_timeout="3s"),)
    ),
    "Apache cuts after 3 s of silence": Stack(
        SILENT, GROUPS, fronts=(partial(apache, directives="ProxyTimeout 3"),)
    ),
    "Caddy ends the body properly after 3 s of silence": Stack(
        SILENT,
        GROUPS,
        fronts=(partial(caddy, proxy="transport http {\n read_timeout 3s\n}"),),
    ),
    "Envoy cuts after 3 s of silence": Stack(
        SILENT,
        GROUPS,
        fronts=(partial(envoy, route={"timeout": "0s", "idle_timeout": "3s"}),),
    ),
    "Envoy cuts each answer after 3 s": Stack(
        path(events=50, interval=0.1), GROUPS, fronts=(partial(envoy, route={"timeout": "3s"}),)
    ),
    "nginx resets the stream of HTTP/2 after 3 s of silence": Stack(
        SILENT,
        GROUPS,
        fronts=(partial(nginx, location=SOUND.replace("330s", "3s")),),
        tls=True,
        options={"http2": True},
    ),
    "Envoy resets the stream of HTTP/2 after 3 s of silence": Stack(
        SILENT,
        GROUPS,
        fronts=(partial(envoy, route={"timeout": "0s", "idle_timeout": "3s"}),),
        tls=True,
        options={"http2": True},
    ),
}
