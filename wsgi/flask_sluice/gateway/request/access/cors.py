"""Cross-origin requests (CORS): which pages of other origins may use the API from a browser."""

import re

from flask import Flask, Response, request
from flask_cors import CORS

_PATHS = re.compile(r"/v1/|/openai/|/api/|/v1beta/|/stream_chat\Z|/static/|/_sluice/")
"""Not the operators' routes: they would tell any page about a server in its reader's network."""

_EXPOSED = [
    "Location",
    "Retry-After",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Request-Id",
    "X-Upstream-Request-Id",
]
_PREFLIGHT_SECONDS = 600
"""How long browsers remember a preflight's answer; Chromium allows two hours at most."""


def register(app: Flask, origins: tuple[str, ...]) -> None:
    """Allow these origins, with credentials, or, for ``("*",)``, any origin without credentials."""
    is_any = origins == ("*",)

    @app.before_request
    def answer_preflight() -> Response | None:
        # Registered before the API keys' check: a preflight has no key (Fetch standard, "CORS-preflight fetch").
        is_preflight = request.method == "OPTIONS" and (
            "Access-Control-Request-Method" in request.headers
        )
        return Response(status=204) if is_preflight else None

    @app.after_request
    def vary_by_origin(response: Response) -> Response:
        # Also without an Origin: otherwise a cache would give one origin's answer to another.
        if not is_any:
            response.vary.add("Origin")
        return response

    CORS(
        app,
        resources=_PATHS,
        origins="*" if is_any else [_pattern(origin) for origin in origins],
        send_wildcard=is_any,
        supports_credentials=not is_any,
        # OpenAI's own client for browsers sends a dozen headers (x-stainless-…).
        allow_headers="*",
        expose_headers=_EXPOSED,
        max_age=_PREFLIGHT_SECONDS,
        # vary_by_origin() sends Vary, and our error handlers have made responses of errors already.
        always_send=False,
        vary_header=False,
        intercept_exceptions=False,
    )


def _pattern(origin: str) -> re.Pattern[str]:
    # flask-cors takes a name with brackets (IPv6) for a pattern, and a pattern matches at the beginning only.
    return re.compile(re.escape(origin) + r"\Z", re.IGNORECASE)
