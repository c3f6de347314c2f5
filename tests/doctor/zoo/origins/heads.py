"""What the raw origin sends before a body: status lines, headers, and whole answers that are no stream."""

import http
import json
from collections.abc import Callable, Mapping

from tests.doctor.zoo.origins.script import Script

Headers = list[tuple[str, str]]

CORS: dict[str, Callable[[str], Headers]] = {
    "right": lambda origin: [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Credentials", "true"),
        ("Access-Control-Expose-Headers", "*"),
        ("Vary", "Origin"),
    ],
    "no-vary": lambda origin: [("Access-Control-Allow-Origin", origin)],
    "star": lambda _: [("Access-Control-Allow-Origin", "*")],
    # Browsers refuse it (Fetch standard, section 3.3.5).
    "star-credentials": lambda _: [
        ("Access-Control-Allow-Origin", "*"),
        ("Access-Control-Allow-Credentials", "true"),
    ],
    "another": lambda _: [("Access-Control-Allow-Origin", "https://another.test")],
    "twice": lambda origin: [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Origin", "*"),
    ],
    "no-preflight": lambda origin: [("Access-Control-Allow-Origin", origin)],
}
_PREFLIGHT: Headers = [
    ("Access-Control-Allow-Methods", "GET, POST"),
    ("Access-Control-Allow-Headers", "content-type, authorization, last-event-id, cache-control"),
    ("Access-Control-Max-Age", "600"),
]


def stream_head(script: Script, origin: str, body_bytes: int | None) -> bytes:
    """The head of a stream. body_bytes: of a body whose length is known"""
    headers: Headers = []
    if script.type:
        headers.append(("Content-Type", script.type))
    if script.cache:
        headers.append(("Cache-Control", script.cache))
    if script.coding:
        headers.append(("Content-Encoding", script.coding.partition("-")[0]))
    headers += _framing(script, body_bytes)
    headers += cors(script, origin)
    for line in filter(None, script.header.split("|")):
        name, _, value = line.partition(":")
        headers.append((name, value.strip()))
    return head(script.status, headers, script.version)


def _framing(script: Script, body_bytes: int | None) -> Headers:
    if body_bytes is not None:
        return [("Content-Length", str(body_bytes))]
    if script.version == "1.0" or script.framing == "close":
        return [("Connection", "close")] if script.version == "1.1" else []
    return [("Transfer-Encoding", "chunked")] * (2 if script.framing == "twice" else 1)


def cors(script: Script, origin: str) -> Headers:
    return CORS[script.cors](origin) if script.cors and origin else []


def preflight(script: Script, origin: str) -> bytes:
    """The answer to OPTIONS."""
    if script.cors in ("", "no-preflight"):
        return whole(405, {"error": "no OPTIONS here"})
    return head(204, cors(script, origin) + _PREFLIGHT)


def head(status: int, headers: Headers, version: str = "1.1") -> bytes:
    lines = [f"HTTP/{version} {status} {http.HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def whole(
    status: int,
    body: object,
    headers: Mapping[str, str] | None = None,
    content_type: str = "application/json",
) -> bytes:
    """An answer with a Content-Length. body: text as it is, anything else as JSON"""
    data = (body if isinstance(body, str) else json.dumps(body)).encode()
    known = [("Content-Type", content_type), ("Content-Length", str(len(data)))]
    return head(status, known + list((headers or {}).items())) + data


def empty(status: int, headers: Headers) -> bytes:
    """An answer without a body."""
    length = [] if status == 204 else [("Content-Length", "0")]
    return head(status, length + headers)
