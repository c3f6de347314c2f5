"""What collects events on their way, and what nearly does."""

from functools import partial

from tests.doctor.zoo.origins import served
from tests.doctor.zoo.origins.script import path
from tests.doctor.zoo.proxies.apache import apache
from tests.doctor.zoo.proxies.caddy import caddy
from tests.doctor.zoo.proxies.envoy import COMPRESSOR, WHOLE_BODY, envoy
from tests.doctor.zoo.proxies.haproxy import haproxy
from tests.doctor.zoo.proxies.nginx import CACHE, HTTP_1_1, SOUND, nginx
from tests.doctor.zoo.stack import Stack

NO = "X-Accel-Buffering: no"
STAMPED = path(events=20, interval=0.05, stamp="sent_at", header=NO)
SILENT_HEADER = path(events=20, interval=0.05, stamp="sent_at")
LARGE = path(events=60, interval=0.02, size=600)
GZIP = "gzip on; gzip_types text/event-stream; gzip_min_length 1;"
HELD = {"delivery.one-by-one": "fault"}
TOKENS = "/v1/chat/completions"

STACKS = {
    # nginx.
    "nginx buffers by default, and the origin does not say X-Accel-Buffering: no": Stack(
        SILENT_HEADER, "delivery", HELD, fronts=(nginx,)
    ),
    "nginx buffers, and lets 4 KiB through when they are full": Stack(
        LARGE, "delivery", HELD, fronts=(nginx,)
    ),
    "nginx ignores X-Accel-Buffering": Stack(
        STAMPED,
        "delivery",
        HELD,
        fronts=(partial(nginx, location="proxy_ignore_headers X-Accel-Buffering;"),),
    ),
    "an inner nginx eats X-Accel-Buffering, and the outer one buffers": Stack(
        STAMPED, "delivery", HELD, fronts=(nginx, nginx), direct=True
    ),
    "nginx compresses a stream that it buffers": Stack(
        SILENT_HEADER, "delivery", HELD, fronts=(partial(nginx, location=HTTP_1_1 + GZIP),)
    ),
    "nginx gathers a stream for its cache": Stack(
        path(events=20, interval=0.05, stamp="sent_at", cache="", header=NO),
        "delivery",
        HELD,
        fronts=(
            partial(
                nginx,
                location="proxy_ignore_headers X-Accel-Buffering; proxy_cache zoo; proxy_cache_valid 200 1m;",
                http=CACHE,
            ),
        ),
    ),
    "nginx buffers tokens, which show no time": Stack(
        path(TOKENS, events=30, interval=0.03), "delivery", HELD, fronts=(nginx,)
    ),
    "nginx buffers events that show no time, and the origin shows it": Stack(
        path(events=30, interval=0.03), "delivery", HELD, fronts=(nginx,), direct=True
    ),
    "nginx passes on what the origin makes in bursts": Stack(
        path(events=4, interval=0.4, size=3000),
        "delivery",
        fronts=(partial(nginx, location=SOUND),),
        direct=True,
    ),
    "nginx buffers a stream without an end, and lets 4 KiB through": Stack(
        path(events=0, interval=0.01),
        "delivery",
        HELD,
        fronts=(nginx,),
        options={"read_seconds": 1.5},
    ),
    "nginx obeys X-Accel-Buffering": Stack(STAMPED, "delivery", fronts=(nginx,)),
    "nginx buffers a chunked answer over HTTP/1.1, whose chunks it passes on whole": Stack(
        SILENT_HEADER, "delivery", fronts=(partial(nginx, location=HTTP_1_1),)
    ),
    "nginx compresses a stream that it does not buffer": Stack(
        SILENT_HEADER, "delivery", fronts=(partial(nginx, location=SOUND + GZIP),)
    ),
    # Others.
    "HAProxy without http-no-delay lets the kernel gather events for 200 ms": Stack(
        path(events=30, interval=0.04, stamp="sent_at"),
        "delivery",
        HELD,
        fronts=(partial(haproxy, defaults=""),),
    ),
    "HAProxy without http-no-delay gathers tokens, which say the second when they were made": Stack(
        path(TOKENS, events=60, interval=0.03),
        "delivery",
        {"delivery.one-by-one": "warning"},
        fronts=(partial(haproxy, defaults=""),),
    ),
    "HAProxy compresses, and the kernel gathers": Stack(
        path(events=30, interval=0.04, stamp="sent_at"),
        "delivery",
        HELD,
        fronts=(
            partial(
                haproxy, defaults="compression algo gzip\n    compression type text/event-stream"
            ),
        ),
    ),
    "HAProxy buffers requests, not answers": Stack(
        SILENT_HEADER,
        "delivery",
        fronts=(partial(haproxy, defaults="option http-buffer-request\n    option http-no-delay"),),
    ),
    "Caddy compresses, and holds back what it has compressed": Stack(
        path(events=20, interval=0.05, stamp="sent_at", size=600),
        "delivery",
        HELD,
        fronts=(partial(caddy, site="encode gzip"),),
    ),
    "Caddy compresses, but not events as small as these": Stack(
        SILENT_HEADER, "delivery", fronts=(partial(caddy, site="encode gzip"),)
    ),
    "Caddy buffers answers": Stack(
        STAMPED, "delivery", HELD, fronts=(partial(caddy, proxy="buffer_responses"),)
    ),
    "Caddy takes the stream for a template": Stack(
        STAMPED,
        "delivery",
        HELD,
        fronts=(partial(caddy, site="templates {\n mime text/event-stream\n}"),),
    ),
    "Caddy has a flush_interval, which does not apply to event streams": Stack(
        STAMPED, "delivery", fronts=(partial(caddy, proxy="flush_interval 5s"),)
    ),
    "Envoy runs a script that wants the whole body": Stack(
        STAMPED, "delivery", HELD, fronts=(partial(envoy, filters=[WHOLE_BODY]),)
    ),
    "Envoy compresses each event by itself": Stack(
        STAMPED, "delivery", fronts=(partial(envoy, filters=[COMPRESSOR]),)
    ),
    "Apache compresses each event by itself": Stack(
        STAMPED, "delivery", fronts=(partial(apache, directives="SetOutputFilter DEFLATE"),)
    ),
    "Apache has a buffer that passes on what is flushed": Stack(
        STAMPED, "delivery", fronts=(partial(apache, directives="SetOutputFilter BUFFER"),)
    ),
    # Origins.
    "Flask-Compress is told to compress event streams": Stack(
        path("/plain", events=20, interval=0.05, stamp="sent_at"),
        "delivery",
        HELD,
        origin=served.flask_compress,
    ),
    "Starlette compresses what is not named text/event-stream": Stack(
        path("/gzip/ndjson", events=20, interval=0.05, stamp="sent_at"),
        "delivery",
        origin=served.uvicorn,
    ),
    "the origin sends lumps of 4 KiB": Stack(
        path(events=60, interval=0.02, size=600, lump=4096), "delivery", HELD
    ),
    "the origin sends lumps of 8 KiB": Stack(
        path(events=60, interval=0.02, size=600, lump=8192), "delivery", HELD
    ),
    "the origin sends lumps of 16 KiB": Stack(
        path(events=90, interval=0.01, size=600, lump=16384), "delivery", HELD
    ),
    "gzip holds 32 KiB back": Stack(
        path(events=60, interval=0.02, size=1200, coding="gzip-held"), "delivery", HELD
    ),
    "the origin sends all tokens at once": Stack(
        path(TOKENS, events=20, interval=0.015, whole=1), "delivery", HELD
    ),
    "the origin makes events in bursts of its own": Stack(
        path(events=3, interval=0.4, size=3000), "delivery"
    ),
    "no event comes": Stack(
        path(first=30),
        "delivery",
        {
            "delivery.one-by-one": "skipped",
            "delivery.first-byte": "skipped",
            "delivery.gaps": "skipped",
        },
        options={"read_seconds": 1},
    ),
    "one event comes": Stack(
        path(events=1), "delivery", {"delivery.one-by-one": "skipped", "delivery.gaps": "skipped"}
    ),
    "the origin flushes gzip for each event": Stack(
        path(events=20, interval=0.05, stamp="sent_at", coding="gzip"), "delivery"
    ),
    "events are larger than any buffer": Stack(
        path(events=5, interval=0.2, size=40_000, stamp="sent_at"), "delivery"
    ),
    "writes cut events and characters in pieces": Stack(
        path(events=10, interval=0.05, size=200, split=50, stamp="sent_at"), "delivery"
    ),
}
