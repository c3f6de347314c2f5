"""Heads that clients and proxies take amiss, and heads that only look so."""

from functools import partial

from tests.doctor.zoo.origins import served
from tests.doctor.zoo.origins.script import path
from tests.doctor.zoo.proxies.apache import apache
from tests.doctor.zoo.proxies.envoy import envoy
from tests.doctor.zoo.proxies.haproxy import haproxy
from tests.doctor.zoo.proxies.nginx import SOUND, nginx
from tests.doctor.zoo.stack import Stack

CONTENT_TYPE = {"headers.content-type": "fault"}
CACHED = {"headers.caching": "fault"}
OLD = {"headers.http-version": "fault"}
NOT_ALLOWED = {"headers.cors": "fault"}
ALLOWED = {"headers.cors": "ok"}
HTTP2 = {"http2": True}


def head(verdicts: dict[str, str] | None = None, **script: object) -> Stack:
    """A short stream with this head."""
    return Stack(
        path(**{"events": 3, "header": "X-Accel-Buffering: no", **script}),
        "headers",
        verdicts or {},
    )


def paged(verdicts: dict[str, str], *, key: str = "", **script: object) -> Stack:
    """Read by a page of another origin. key: of the API, for which a browser asks in advance"""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    options = {"origin": "https://page.test", "headers": headers}
    return Stack(path(events=3, **script), "headers", verdicts, options=options)


STACKS = {
    # The content type.
    "the content type is text/plain": head(CONTENT_TYPE, type="text/plain"),
    "the content type is application/json": head(CONTENT_TYPE, type="application/json"),
    "there is no content type": head(CONTENT_TYPE, type=""),
    "the charset is ISO-8859-1": head(
        {"headers.content-type": "warning"}, type="text/event-stream; charset=iso-8859-1"
    ),
    "the content type is there twice": head(
        CONTENT_TYPE,
        header="Content-Type: text/plain|X-Accel-Buffering: no",
    ),
    "the content type is written in capitals, with a charset in quotes": head(
        type='Text/Event-Stream;Charset="UTF-8"'
    ),
    # Caching.
    "there is no Cache-Control": head({"headers.caching": "warning"}, cache=""),
    "caches may keep the stream": head(CACHED, cache="public, max-age=60"),
    "caches must ask again": head(cache="no-cache"),
    "only the reader may keep the stream": head(cache="private, no-cache, no-transform"),
    "a cache has answered": head(CACHED, header="X-Cache: HIT|Age: 30|X-Accel-Buffering: no"),
    # Proxies.
    "nothing tells nginx not to buffer": head(header=""),
    "X-Accel-Buffering says yes": head(
        {"headers.proxy-buffering": "warning"}, header="X-Accel-Buffering: yes"
    ),
    "the origin compresses": head(coding="gzip"),
    # Hops.
    "the chunked coding is announced twice": head({"headers.connection": "fault"}, framing="twice"),
    "the stream has a Content-Length": head({"headers.connection": "warning"}, framing="length"),
    "the connection closes after the stream": head(
        header="Connection: close|X-Accel-Buffering: no"
    ),
    "the origin answers HTTP/1.0": head(OLD, version="1.0"),
    "the end of the connection is the end of the body": head(framing="close"),
    "Apache answers HTTP/1.0": Stack(
        path(events=3, header="X-Accel-Buffering: no"),
        "headers",
        OLD,
        fronts=(partial(apache, directives="SetEnv downgrade-1.0 1\nSetEnv force-response-1.0 1"),),
    ),
    # Compression.
    "the body is said to be gzip, and is not": head(
        {"headers.compression": "fault"}, header="Content-Encoding: gzip"
    ),
    "the body is compressed in a way that was not asked for": head(
        {"headers.compression": "fault"}, header="Content-Encoding: br"
    ),
    # The status.
    "the status is 201": head({"headers.status": "fault"}, status=201),
    "a redirect leads to the stream": Stack(
        "/redirect?to=/events?events=3&header=X-Accel-Buffering:no",
        "headers",
        {"headers.status": "warning"},
    ),
    # Pages of another origin.
    "the page's origin is not allowed": paged(NOT_ALLOWED),
    "another origin is allowed": paged(NOT_ALLOWED, cors="another"),
    "any origin is allowed, with cookies": paged(NOT_ALLOWED, cors="star-credentials"),
    "two origins are allowed": paged(NOT_ALLOWED, cors="twice"),
    "the preflight is refused": paged(NOT_ALLOWED, key="zoo", cors="no-preflight"),
    "the preflight is allowed": paged(ALLOWED, key="zoo", cors="right"),
    "the page's origin is allowed": paged(ALLOWED, cors="right"),
    "any page is allowed": paged(ALLOWED, cors="star"),
    # Apps.
    "a bare Flask generator says nothing of caches": Stack(
        path("/plain", events=3),
        "headers",
        {"headers.caching": "warning"},
        origin=partial(served.gunicorn, "-k", "gevent"),
    ),
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
    "the origin speaks HTTP/1.1 alone": Stack(
        path(events=3), "headers", {"headers.http-version": "warning"}, tls=True, options=HTTP2
    ),
}
