"""The head of the answer: what it tells clients and proxies to do with the body."""

from collections import Counter
from collections.abc import Iterator

from flask_sluice.doctor.checks.cors import check_cors
from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.http.recording import Recording
from flask_sluice.doctor.remedies import headers as remedies
from flask_sluice.doctor.remedies.compression import COMPRESSED
from flask_sluice.doctor.remedies.products import first_for, products_of
from flask_sluice.doctor.report import Check, CheckMaker

_make = CheckMaker("headers")
_CACHE_HITS = ("HIT", "STALE", "UPDATING", "REVALIDATED", "EXPIRED")
_HOP_BY_HOP = ("proxy-connection", "te", "trailer", "upgrade", "proxy-authenticate")
_ONCE = ("content-length", "transfer-encoding")
"""Twice they frame the body in two ways. Two of Server, which Caddy sends, do no harm."""


def check(examination: Examination) -> Iterator[Check]:
    """Yield the checks of the head."""
    main = examination.main
    yield _status(main, examination.redirects)
    yield _content_type(main)
    yield _caching(main)
    yield _proxy_buffering(main)
    yield _compression(main)
    yield _connection(main)
    yield _http_version(main, wants_http2=examination.options.http2)
    yield from check_cors(examination)
    yield _software(main)


def _status(main: Recording, redirects: list[str]) -> Check:
    evidence = f"{main.status} over HTTP/{main.http_version}."
    if main.status != 200:
        return _make.fault(
            "status",
            f"{evidence} EventSource takes 200 alone and gives up at any other status.",
            remedies.STATUS,
            status=main.status,
        )
    if redirects:
        method = main.request.method
        return _make.warning(
            "status",
            f"{evidence} {len(redirects)} redirect(s) led to {redirects[-1]} ({method}); each costs a round trip "
            "at every reconnection, and many clients drop headers or the body on the way. Use that URL.",
            status=main.status,
            redirects=len(redirects),
        )
    return _make.ok("status", evidence, status=main.status)


def _content_type(main: Recording) -> Check:
    value = main.header("Content-Type")
    if len(main.header_values("Content-Type")) > 1:
        return _make.fault(
            "content-type", f"Content-Type is there twice: {value}.", remedies.CONTENT_TYPE
        )
    if not main.is_event_stream:
        shown = f"is {value}" if value else "is missing"
        return _make.fault(
            "content-type",
            f"Content-Type {shown}, and the body has server-sent events: EventSource refuses it, and proxies "
            "treat it as a document that may be collected and compressed.",
            remedies.CONTENT_TYPE,
        )
    charset = (value or "").lower().partition("charset=")[2].split(";")[0].strip(' "')
    if charset and charset not in ("utf-8", "utf8"):
        return _make.warning(
            "content-type",
            f"Content-Type says charset={charset}, and an event stream is always read as UTF-8.",
            remedies.CHARSET,
        )
    return _make.ok("content-type", f"{value}.")


def _caching(main: Recording) -> Check:
    value = (main.header("Cache-Control") or "").lower()
    directives = {
        part.strip().partition("=")[0]: part.partition("=")[2] for part in value.split(",")
    }
    if hit := _cache_hit(main):
        return _make.fault(
            "caching",
            f"A cache has sent this answer ({hit}): readers get events that somebody else was sent before.",
            remedies.FROM_A_CACHE,
        )
    if {"no-store", "no-cache", "private"} & directives.keys():
        return _make.ok("caching", f"Cache-Control: {value}.")
    age = directives.get("s-maxage") or directives.get("max-age") or ""
    if age.isdigit() and int(age) == 0:
        return _make.ok("caching", f"Cache-Control: {value}.")
    is_storable = "public" in directives or age.isdigit()
    if main.request.method == "GET" and is_storable:
        return _make.fault(
            "caching",
            f"Cache-Control: {value} lets caches keep the stream and send it to others.",
            remedies.CACHEABLE,
        )
    if main.request.method == "GET":
        return _make.warning(
            "caching",
            "There is no Cache-Control, so a cache on the way may decide for itself; no-store or no-cache "
            "says it.",
            remedies.CACHEABLE,
        )
    return _make.ok("caching", "Caches do not keep the answer to a POST that does not allow it.")


def _cache_hit(main: Recording) -> str:
    """The header by which a cache says that it had this answer already; "" if none says so."""
    for name in ("X-Cache", "CF-Cache-Status", "X-Cache-Status", "X-Proxy-Cache"):
        value = main.header(name) or ""
        if value.upper().startswith(_CACHE_HITS):
            return f"{name}: {value}"
    age = main.header("Age") or ""
    return f"Age: {age}" if age.isdigit() and int(age) > 0 else ""


def _proxy_buffering(main: Recording) -> Check:
    value = main.header("X-Accel-Buffering")
    if value is None:
        return _make.ok(
            "proxy-buffering",
            "There is no X-Accel-Buffering. nginx obeys it and takes it out, so that it may have been there.",
        )
    if value.strip().lower() == "no":
        return _make.ok("proxy-buffering", "X-Accel-Buffering: no keeps nginx from collecting.")
    return _make.warning(
        "proxy-buffering",
        f"X-Accel-Buffering is {value!r}; only the value no keeps nginx from collecting events.",
        remedies.BUFFERING_HEADER,
    )


def _compression(main: Recording) -> Check:
    coding = main.content_coding
    if not coding:
        return _make.ok("compression", "The body is not compressed, although gzip was offered.")
    if main.decoding_problem:
        return _make.fault(
            "compression",
            f"Content-Encoding: {coding}, but {main.decoding_problem}.",
            first_for(COMPRESSED, products_of(main.headers)),
        )
    sent, plain = (sum(len(part.data) for part in parts) for parts in (main.arrivals, main.decoded))
    return _make.ok(
        "compression",
        f"{coding} makes {sent} bytes of {plain}; whether each event is flushed, delivery.one-by-one tells.",
        compressed_bytes=sent,
        plain_bytes=plain,
    )


def _connection(main: Recording) -> Check:
    names = Counter(name.lower() for name, _ in main.headers)
    if names["transfer-encoding"] and names["content-length"]:
        return _make.fault(
            "connection",
            "Both Transfer-Encoding and Content-Length are there, which proxies refuse as an attempt to smuggle "
            "a request (RFC 9112, section 6.3).",
            remedies.HOP_BY_HOP,
        )
    repeated = [name for name in _ONCE if names[name] > 1]
    if repeated:
        return _make.fault(
            "connection",
            f"{', '.join(repeated)} came more than once: a proxy or server passes on what it sets itself.",
            remedies.HOP_BY_HOP,
        )
    hop_by_hop = [name for name in _HOP_BY_HOP if names[name]]
    if hop_by_hop:
        return _make.warning(
            "connection",
            f"{', '.join(hop_by_hop)} belong to one connection, and something on the way has passed them on.",
            remedies.HOP_BY_HOP,
        )
    if names["content-length"]:
        return _make.warning(
            "connection",
            f"Content-Length: {main.header('Content-Length')}: the answer was complete before its head was sent.",
            remedies.CONTENT_LENGTH,
        )
    return _make.ok("connection", "No header belongs to another connection than this one.")


def _http_version(main: Recording, *, wants_http2: bool) -> Check:
    if main.http_version == "1.0":
        return _make.fault(
            "http-version",
            "The answer is HTTP/1.0, which has no chunks: an answer that is cut off looks complete, and "
            "a proxy may collect it.",
            first_for(remedies.HTTP_1_0, products_of(main.headers)),
        )
    if wants_http2 and main.http_version != "2":
        return _make.warning(
            "http-version",
            f"HTTP/2 was offered, and the server took HTTP/{main.http_version}.",
        )
    return _make.ok("http-version", f"HTTP/{main.http_version}.")


def _software(main: Recording) -> Check:
    products = products_of(main.headers)
    shown = [
        f"{name}: {main.header(name)}"
        for name in ("Server", "Via", "X-Powered-By")
        if main.header(name)
    ]
    evidence = "; ".join(shown) or "Server and Via are not there"
    if products:
        evidence += f". Recognised: {', '.join(products)}"
    return _make.ok("software", f"{evidence}.", products=list(products))
