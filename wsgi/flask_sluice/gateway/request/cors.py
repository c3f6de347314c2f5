"""Pages of other origins: what browsers let them do here (CORS)."""

import re

from flask import Flask, Response, request
from flask_cors import CORS

_PATHS = re.compile(r"/v1/|/stream_chat\Z|/static/")
"""Not what operators ask: that would tell any page about a server in its reader's network."""

_EXPOSED = [
    "Location",
    "Retry-After",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Request-Id",
]
_PREFLIGHT_SECONDS = 600
"""For which browsers remember a preflight's answer; Chromium takes two hours at most."""


def register(app: Flask, origins: tuple[str, ...]) -> None:
    """``("*",)``: any origin, without cookies and the like; else these, with them."""
    is_any = origins == ("*",)

    @app.before_request
    def answer_preflight() -> Response | None:
        # Before keys are asked for: a preflight cannot have one (Fetch standard, CORS-preflight fetch).
        is_preflight = request.method == "OPTIONS" and (
            "Access-Control-Request-Method" in request.headers
        )
        return Response(status=204) if is_preflight else None

    @app.after_request
    def vary_by_origin(response: Response) -> Response:
        # Always, or a cache would give an origin the answer to another, or to none.
        if not is_any:
            response.vary.add("Origin")
        return response

    CORS(
        app,
        resources=_PATHS,
        origins="*" if is_any else [_pattern(origin) for origin in origins],
        send_wildcard=is_any,
        supports_credentials=not is_any,
        # Any header: OpenAI's own client for browsers sends a dozen (x-stainless-…).
        allow_headers="*",
        expose_headers=_EXPOSED,
        max_age=_PREFLIGHT_SECONDS,
        # Only where it is asked for, and by ourselves; errors have become responses before.
        always_send=False,
        vary_header=False,
        intercept_exceptions=False,
    )


def _pattern(origin: str) -> re.Pattern[str]:
    # flask-cors takes a name with brackets (IPv6) for a pattern, and patterns match the beginning.
    return re.compile(re.escape(origin) + r"\Z", re.IGNORECASE)
