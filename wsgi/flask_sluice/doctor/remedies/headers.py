"""What to change in the head of a response."""

from flask_sluice.doctor.remedies.buffering import INNER_NGINX, TELL_NGINX
from flask_sluice.doctor.remedies.compression import NO_TRANSFORM
from flask_sluice.doctor.remedies.remedy import Remedy

_SSE_RESPONSE = Remedy(
    "Flask, in the view: sets all headers of an event stream",
    "from flask_sluice import sse_response\n\nreturn sse_response(events())",
)

CONTENT_TYPE = (
    Remedy("any app, in the headers of the response", "Content-Type: text/event-stream"),
    Remedy("Flask, in the view", 'return Response(events(), mimetype="text/event-stream")'),
    Remedy(
        "uvicorn, with Starlette or FastAPI",
        'return StreamingResponse(events(), media_type="text/event-stream")',
    ),
    Remedy("Express, in the handler", "res.setHeader('Content-Type', 'text/event-stream')"),
    _SSE_RESPONSE,
)
"""The stream does not say that it is one: EventSource gives up, and proxies buffer it."""

CHARSET = (
    Remedy(
        "any app: an event stream is always UTF-8, whatever its charset says",
        "Content-Type: text/event-stream; charset=utf-8",
    ),
)
"""The content type names another charset than UTF-8."""

CACHEABLE = (
    Remedy("any app, in the headers of the response", "Cache-Control: no-cache"),
    NO_TRANSFORM,
    Remedy("nginx, in the location of the stream", "proxy_cache off;"),
    Remedy("Flask, in the view", 'response.headers["Cache-Control"] = "no-cache"'),
    _SSE_RESPONSE,
)
"""A cache may keep the stream and give it to others, or collects it whole before it passes anything on."""

FROM_A_CACHE = (
    Remedy("nginx, in the location of the stream", "proxy_cache off;"),
    Remedy("any app, in the headers of the response", "Cache-Control: no-store"),
)
"""The stream came from a cache: it has an Age, or a second request got the same bytes."""

BUFFERING_HEADER = (
    TELL_NGINX,
    INNER_NGINX,
    _SSE_RESPONSE,
)
"""`X-Accel-Buffering: no` is missing, which nginx and its likes need."""

HOP_BY_HOP = (
    Remedy(
        "Flask, in the view: the server sets these, and WSGI forbids them to apps (PEP 3333)",
        'response.headers.pop("Connection", None)\nresponse.headers.pop("Transfer-Encoding", None)',
    ),
    Remedy(
        "uvicorn, with sse-starlette, which sets Connection: keep-alive",
        'response = EventSourceResponse(events())\ndel response.headers["Connection"]',
    ),
)
"""The app sets headers of the connection, which HTTP/2 forbids and which break the framing behind a proxy."""

CONTENT_LENGTH = (
    Remedy(
        "Flask, in the view: the length of a stream is not known",
        'response.headers.pop("Content-Length", None)',
    ),
)
"""The stream has a Content-Length."""

HTTP_1_0 = (
    Remedy(
        "nginx, in the location of the stream (1.1 is the default from 1.29.7 on)",
        "proxy_http_version 1.1;",
    ),
    Remedy(
        "nginx (ingress-nginx), in the annotations of the Ingress",
        'nginx.ingress.kubernetes.io/proxy-http-version: "1.1"',
    ),
    Remedy(
        "Apache, in the VirtualHost: delete these lines",
        "SetEnv force-proxy-request-1.0 1  # delete this line\nSetEnv downgrade-1.0 1  # delete this line",
    ),
    Remedy(
        "uWSGI, with the option http, in its ini file: it sends chunks to clients of HTTP/1.1",
        "http-keepalive = 1\nhttp-auto-chunked = true\nadd-header = Connection: Keep-Alive",
    ),
    Remedy(
        "Flask, on the command line: flask run speaks HTTP/1.1 only with threads, its default",
        "flask run --with-threads",
    ),
    Remedy("gunicorn, in place of wsgiref or another server of HTTP/1.0", "gunicorn app:app"),
)
"""The end of a body is the end of the connection, so a stream that was cut looks complete."""

CORS = (
    Remedy(
        "any app, in the headers of the response",
        "Access-Control-Allow-Origin: https://app.example",
    ),
    Remedy(
        "any app, for pages that send cookies: the origin must be named, * does not do",
        "Access-Control-Allow-Origin: https://app.example\nAccess-Control-Allow-Credentials: true\nVary: Origin",
    ),
    Remedy(
        "any app, in its answer to OPTIONS, for pages that send a key or a POST of JSON",
        "Access-Control-Allow-Methods: GET, POST\nAccess-Control-Allow-Headers: authorization, content-type, last-event-id",
    ),
    Remedy("Sluice's gateway, in its environment", "SLUICE_CORS_ORIGINS=https://app.example"),
)
"""A page of another origin may not read the stream."""

STATUS = (
    Remedy(
        "any app: 200 for a stream, 204 to tell EventSource to stop, 4xx or 5xx for an error",
        "HTTP/1.1 200 OK",
    ),
)
"""The status is none that a stream may have."""
