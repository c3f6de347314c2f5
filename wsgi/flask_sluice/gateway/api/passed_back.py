"""Which headers of an upstream's response are passed back, and what the client's browser is told of its body."""

import re
from collections.abc import Sequence
from functools import lru_cache
from http.client import responses as STANDARD_REASONS  # noqa: N812 - it is a constant
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from flask_sluice.gateway.relay.http1_parser import ResponseHead
from flask_sluice.gateway.relay.relay import upstream_request_id
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.headers_and_errors import Headers

# A list of what is passed, since what acts on a proxy (X-Accel-Redirect), on the gateway's origin (Set-Cookie,
# Clear-Site-Data) or on later requests (Alt-Svc, Cache-Control) cannot be listed: there is something new each year.
_PASSED_BACK = frozenset(
    {
        "accept-ranges",
        "allow",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-range",
        "etag",
        "last-modified",
        "ratelimit",
        "retry-after",
        "retry-after-ms",
        "x-should-retry",
        # Ids that a server's support asks for.
        "apim-request-id",
        "cf-ray",
        "request-id",
        "x-client-request-id",
        "x-generation-id",
        "x-ms-client-request-id",
        "x-ms-region",
        "x-ms-request-id",
    }
)
_PASSED_BACK_PREFIXES = ("openai-", "anthropic-", "x-ratelimit-", "ratelimit-")
# Sluice changes a stream's bytes, and sends headers of its own.
_NOT_ON_STREAMS = frozenset(
    {
        "content-length",
        "content-encoding",
        "content-range",
        "accept-ranges",
        "etag",
        "last-modified",
    }
)

NOSNIFF = ("X-Content-Type-Options", "nosniff")
_SANDBOX = ("Content-Security-Policy", "sandbox")
# With a comma it could be a list, of which browsers take the last type. SVG is a document that can have scripts.
_HARMLESS_TYPE = re.compile(
    r"(application/([\w.-]+\+)?json|text/event-stream|(audio|video|image)/(?!svg|[^;]*xml)[\w.+-]+)[ \t]*(;[^,]*)?",
    re.ASCII | re.IGNORECASE,
)
_AMBIGUOUS = re.compile(r"[/\\]\.\.?([/\\;]|$)|[\x00-\x20\x7f]")
_REASON = re.compile("[!-~]([ -~]*[!-~])?")
_VISIBLE = re.compile("[!-~]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def headers_passed_back(head: ResponseHead, *, is_event_stream: bool) -> Headers:
    """Return the headers that go back; for a stream, without those that every stream of Sluice's has.

    The Location, which has to be rewritten, is not among them.
    """
    listed = head.values.get("connection")
    left_out = _next_hop_only(listed) if listed else set()
    if "transfer-encoding" in head.values:
        # A Content-Length beside chunks does not count (RFC 9112, section 6.3).
        left_out.add("content-length")
    if is_event_stream:
        left_out |= _NOT_ON_STREAMS
    headers = [
        (name, value)
        for name, value in head.headers
        if _is_passed_back(name) and name not in left_out
    ]
    upstream_id = upstream_request_id(head)
    if upstream_id is not None:
        headers.append(("X-Upstream-Request-Id", upstream_id))
    headers.append(NOSNIFF)
    if not is_event_stream:
        headers += _content_headers(head)
    return headers


# Both are cached since every answer asks for the same few: 3 us of a short answer's 700.
@lru_cache(maxsize=256)
def _is_passed_back(name: str) -> bool:
    return name in _PASSED_BACK or name.startswith(_PASSED_BACK_PREFIXES)


@lru_cache(maxsize=256)
def _is_harmless(content_type: str) -> bool:
    return _HARMLESS_TYPE.fullmatch(content_type) is not None


def status_passed_back(head: ResponseHead) -> str:
    """Return the status with the upstream's reason phrase, or the standard one where that is missing or not ASCII."""
    if _REASON.fullmatch(head.reason):
        return f"{head.status} {head.reason}"
    return f"{head.status} {STANDARD_REASONS.get(head.status, 'Unknown')}"


def location_passed_back(
    head: ResponseHead, *, path: str, upstreams: Sequence[str], our_base: str
) -> str | None:
    """Return the path of ours that stands for the upstream's Location, None if there is nothing to pass.

    path: what was asked for below the upstream's URL
    upstreams: the URLs of all upstreams
    our_base: the path of ours that stands for such a URL

    Raises ApiError 502 for a redirect to anywhere else: a client would follow it to an address inside, or past Sluice's
    keys and limits.
    """
    location = head.values.get("location")
    if location is None or head.status == 304:
        return None
    for base in upstreams:
        rest = _below(base, base + path, location)
        if rest is not None:
            return our_base + rest
    if 300 <= head.status < 400:
        raise ApiError(
            502,
            "upstream_invalid",
            "the upstream redirects to an address that is not below its URL",
        )
    return None


def _content_headers(head: ResponseHead) -> Headers:
    """Return the type of a body that is not a stream of events, and what a browser may do with it."""
    # One answer is for one client. Without this header a cache could keep it, and give it to another.
    asked_not_to_store = "no-store" in head.values.get("cache-control", "").lower()
    headers = [("Cache-Control", "no-store" if asked_not_to_store else "private, no-cache")]
    # Of several types the last counts, as in browsers (Fetch standard, "extract a MIME type").
    types = [value for name, value in head.headers if name == "content-type"]
    if types:
        headers.append(("Content-Type", types[-1]))
    if not types or not _is_harmless(types[-1]):
        headers.append(_SANDBOX)
    return headers


def _next_hop_only(connection: str) -> set[str]:
    """Return the names that a Connection header lists (RFC 9110, section 7.6.1), in lower case."""
    return {name.strip().lower() for name in connection.split(",")}


def _below(base: str, requested: str, location: str) -> str | None:
    """Return what follows ``base`` in a Location, with its slash; None if that is not below it.

    requested: the URL that a relative Location is relative to
    """
    try:
        ours, theirs = urlsplit(base), urlsplit(urljoin(requested, location))
        # A server behind a proxy often does not know that it is asked by https.
        is_same_host = theirs.netloc.lower() == ours.netloc.lower() or (
            theirs.hostname == ours.hostname and _port_of(theirs) == _port_of(ours)
        )
    except ValueError:  # A port that is not a number, or half of an IPv6 address.
        return None
    if not (is_same_host and theirs.scheme in _DEFAULT_PORTS):
        return None
    if not theirs.path.startswith(ours.path + "/") or _AMBIGUOUS.search(unquote(theirs.path)):
        return None
    rest = theirs._replace(scheme="", netloc="", path=theirs.path.removeprefix(ours.path)).geturl()
    return rest if _VISIBLE.fullmatch(rest) else None


def _port_of(url: SplitResult) -> int | None:
    return url.port or _DEFAULT_PORTS.get(url.scheme)
