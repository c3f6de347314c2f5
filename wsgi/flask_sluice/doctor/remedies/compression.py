"""What to change where a compressor holds events back.

A compressor may compress a stream if it flushes after each event. Most do not: they send when their buffer is full.
"""

from flask_sluice.doctor.remedies.remedy import Remedy

NO_TRANSFORM = Remedy(
    "any app, in the headers of the response (HAProxy, Envoy and Express's compression obey it)",
    "Cache-Control: no-cache, no-transform",
)

COMPRESSED = (
    NO_TRANSFORM,
    Remedy("nginx, in the location of the stream", "gzip off;"),
    Remedy(
        "nginx, in http: without text/event-stream and without *",
        "gzip_types text/css application/javascript application/json;",
    ),
    Remedy("Apache, in the Location of the stream", "SetEnv no-gzip 1\nSetEnv no-brotli 1"),
    Remedy(
        "HAProxy, in the backend: without text/event-stream",
        "compression type text/html text/css application/json",
    ),
    Remedy(
        "Caddy, in encode: without text/*",
        "encode {\n\tmatch {\n\t\theader Content-Type text/html*\n\t\theader Content-Type application/json*\n\t}\n}",
    ),
    Remedy(
        "Traefik, in the middleware compress",
        "traefik.http.middlewares.my-compress.compress.excludedcontenttypes=text/event-stream",
    ),
    Remedy(
        "Envoy, in the compressor filter: a list without text/event-stream",
        "response_direction_config:\n  common_config:\n    content_type: [text/html, application/json]",
    ),
    Remedy(
        "Cloudflare, in a Compression Rule that disables compression",
        'http.response.content_type.media_type eq "text/event-stream"',
    ),
    Remedy("Flask, with Flask-Compress", 'app.config["COMPRESS_STREAMS"] = False'),
    Remedy(
        "uvicorn, with Starlette's or FastAPI's GZipMiddleware: from 0.46 on it lets event streams pass",
        "pip install 'starlette>=0.46'",
    ),
    Remedy("Django, with GZipMiddleware: in the view", 'response["Content-Encoding"] = "identity"'),
    Remedy(
        "Express, with the middleware `compression`: after each event",
        "res.write(event)\nres.flush()",
    ),
)
"""The stream is compressed, and events wait in the compressor."""
