"""Which headers are passed on to an upstream, and which of its response are passed back."""

from collections.abc import Collection
from functools import lru_cache
from typing import TYPE_CHECKING

from flask_sluice.gateway.relay.http1_parser import ResponseHead

if TYPE_CHECKING:
    # The standard library has these types (wsgiref.types) from Python 3.11 on.
    from _typeshed.wsgi import WSGIEnvironment

# For the next hop only (RFC 9110, section 7.6.1), or made anew by the relay.
_NOT_PASSED_ON = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "host",
        "content-length",
        "expect",
        "x-request-id",
        # For the upstream Sluice is the client, and Sluice cannot vouch for what clients say about proxies.
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-proto",
        "x-real-ip",
    }
)
_NOT_PASSED_BACK = (_NOT_PASSED_ON - {"content-length"}) | {"date", "server"}
# SLUICE_CORS_ORIGINS alone says which pages may read a response.
_CORS_HEADERS = "access-control-"
_NOT_PASSED_BACK_ON_STREAMS = _NOT_PASSED_BACK | {
    # Sluice sends its own.
    "content-type",
    "cache-control",
    "x-accel-buffering",
    "content-length",
}


def headers_passed_on(environ: "WSGIEnvironment") -> dict[str, str]:
    """Return the request's end-to-end headers, with names in lower case."""
    listed = _listed_in(environ.get("HTTP_CONNECTION"))
    return {
        name: value
        for key, value in environ.items()
        if (name := _header_of(key)) and name not in _NOT_PASSED_ON and name not in listed
    }


def headers_passed_back(head: ResponseHead, *, is_event_stream: bool) -> list[tuple[str, str]]:
    """Return the response's end-to-end headers; for a stream, without those that every stream of Sluice's has."""
    left_out = _NOT_PASSED_BACK_ON_STREAMS if is_event_stream else _NOT_PASSED_BACK
    if not is_event_stream and "transfer-encoding" in head.values:
        # A Content-Length beside chunks does not count (RFC 9112, section 6.3).
        left_out |= {"content-length"}
    listed = _listed_in(head.values.get("connection"))
    return [
        (name, value)
        for name, value in head.headers
        if name not in left_out and name not in listed and not name.startswith(_CORS_HEADERS)
    ]


def _listed_in(connection: str | None) -> Collection[str]:
    """Return the names that a Connection header lists as for the next hop only, in lower case."""
    if connection is None:
        return ()
    return {name.strip().lower() for name in connection.split(",")}


# Werkzeug's headers derive the names for each request anew: 20 us of a short answer's 700.
@lru_cache(maxsize=1024)
def _header_of(environ_key: str) -> str | None:
    """Return the name of the header that the WSGI environment holds under this key, None if it does not hold one."""
    if environ_key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        return environ_key.replace("_", "-").lower()
    if environ_key.startswith("HTTP_"):
        return environ_key.removeprefix("HTTP_").replace("_", "-").lower()
    return None
