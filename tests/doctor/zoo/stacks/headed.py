"""Heads that clients and proxies take amiss, and heads that only look so."""

from functools import partial

from tests.doctor.zoo.origins.script import path
from tests.doctor.zoo.proxies.apache import apache
from tests.doctor.zoo.proxies.envoy import envoy
from tests.doctor.zoo.proxies.haproxy import haproxy
from tests.doctor.zoo.proxies.nginx import SOUND, nginx
from tests.doctor.zoo.stack import Stack

ORIGIN = {"origin": "https://page.test"}
HTTP2 = {"http2": True}


def head(verdicts: dict[str, str] | None = None, **script: object) -> Stack:
    """A short stream with this head."""
    return Stack(
        path(**{"events": 3, "header": "X-Accel-Buffering: no", **script}),
        "headers",
        verdicts or {},
    )


STACKS = {
    # The content type.
    "the content type is text/plain": head(type="text/plain"),
    "the content type is application/json": head(type="application/json"),
    "there is no content type": head(type=""),
    "the charset is ISO-8859-1": head(type="text/event-stream; charset=iso-8859-1"),
    "the content type is there twice": head(
        header="Content-Type: text/plain|X-Accel-Buffering: no"
    ),
    "the content type is written in capitals, with a charset in quotes": head(
        type='Text/Event-Stream;Charset="UTF-8"'
    ),
    # Caching.
    "there is no Cache-Control": head(cache=""),
    "caches may keep the stream": head(cache="public, max-age=60"),
    "caches must ask again": head(cache="no-cache"),
    "only the reader may keep the stream": head(cache="private, no-cache, no-transform"),
    "a cache has answered": head(header="X-Cache: HIT|Age: 30|X-Accel-Buffering: no"),
    # Proxies.
    "nothing tells nginx not to buffer": head(header=""),
    "X-Accel-Buffering says yes": head(header="X-Accel-Buffering: yes"),
    "the origin compresses": head(coding="gzip"),
    # Hops.
    "the chunked coding is announced twice": head(framing="twice"),
    "the stream has a Content-Length": head(framing="length"),
    "the connection closes after the stream": head(
        header="Connection: close|X-Accel-Buffering: no"
    ),
    "the origin answers HTTP/1.0": head(version="1.0"),
    "the end of the connection is the end of the body": head(framing="close"),
    "Apache answers HTTP/1.0": Stack(
        path(events=3, header="X-Accel-Buffering: no"),
        "headers",
        fronts=(partial(apache, directives="SetEnv downgrade-1.0 1\nSetEnv force-response-1.0 1"),),
    ),
    # Redirects.
    "a redirect leads to the stream": Stack(
        "/redirect?to=/events?events=3&header=X-Accel-Buffering:no", "headers"
    ),
    # Pages of another origin.
    "the page's origin is not allowed": Stack(path(events=3), "headers", options=ORIGIN),
    "another origin is allowed": Stack(path(events=3, cors="another"), "headers", options=ORIGIN),
    "any origin is allowed, with cookies": Stack(
        path(events=3, cors="star-credentials"), "headers", options=ORIGIN
    ),
    "two origins are allowed": Stack(path(events=3, cors="twice"), "headers", options=ORIGIN),
    "the preflight is refused": Stack(
        path(events=3, cors="no-preflight"),
        "headers",
        options={**ORIGIN, "headers": {"Authorization": "Bearer zoo"}},
    ),
    "the preflight is allowed": Stack(
        path(events=3, cors="right"),
        "headers",
        options={**ORIGIN, "headers": {"Authorization": "Bearer zoo"}},
    ),
    "the origin's page is allowed": Stack(path(events=3, cors="right"), "headers", options=ORIGIN),
    "any page is allowed": Stack(path(events=3, cors="star"), "headers", options=ORIGIN),
    # HTTP/2.
    "nginx speaks HTTP/2": Stack(
        path(events=3), "headers", fronts=(partial(nginx, location=SOUND),), tls=True, options=HTTP2
    ),
    "HAProxy speaks HTTP/2": Stack(
        path(events=3), "headers", fronts=(haproxy,), tls=True, options=HTTP2
    ),
    "Envoy speaks HTTP/2": Stack(
        path(events=3), "headers", fronts=(envoy,), tls=True, options=HTTP2
    ),
    "the origin speaks HTTP/1.1 alone": Stack(path(events=3), "headers", tls=True, options=HTTP2),
}
