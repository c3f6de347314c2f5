"""The lines of a recording: what each says, as JSON."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from flask_sluice.gateway.relay.recording.redaction import Redactor, as_json
from flask_sluice.observe.hidden_secrets import hide_secrets_in_query

VERSION = 1
MAX_BODY_BYTES = 1024 * 1024
"""A larger body is left out: to take it apart would hold up the worker's streams."""
_EVENT_END = re.compile(rb"(?<=\n\n)|(?<=\n\r\n)|(?<=\r\r)")


class RecordedRequest(msgspec.Struct):
    """What is asked: as it goes to an upstream, but with the path that the client has sent.

    at: seconds since 1970
    """

    at: float
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


def line(fields: dict[str, Any]) -> bytes:
    return as_json(fields).encode() + b"\n"


def body_fields(body: bytes, content_type: str, redactor: Redactor) -> dict[str, Any]:
    """Return how a body is written: as the value of JSON, as text, in base64, or its size and why it is left out."""
    if len(body) > MAX_BODY_BYTES:
        return _left_out(body, f"it has more than {MAX_BODY_BYTES} bytes")
    if content_type.startswith("multipart/"):
        return _left_out(body, "it is a form with files")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return _bytes_fields(body, redactor)
    return _text_fields(text, content_type, redactor) if text else {}


def _text_fields(text: str, content_type: str, redactor: Redactor) -> dict[str, Any]:
    if "x-www-form-urlencoded" in content_type:
        return {"text": redactor.text(hide_secrets_in_query(text))}
    try:
        value = json.loads(text)
        redactor.learn_from(value)
        return {"json": redactor.value(value)}
    except (ValueError, RecursionError):
        return {"text": redactor.text(text)}


def event_fields(events: bytes, redactor: Redactor) -> Iterator[dict[str, Any]]:
    """Yield how each of these whole events is written."""
    for event in _EVENT_END.split(events):
        if not event:
            continue
        try:
            yield {"event": redactor.events(event.decode())}
        except UnicodeDecodeError:
            yield _bytes_fields(event, redactor)


def piece_fields(piece: bytes, redactor: Redactor) -> dict[str, Any]:
    """Return how a piece of a body is written that is neither a stream of events nor one document."""
    try:
        return {"text": redactor.text(piece.decode())}
    except UnicodeDecodeError:
        return _bytes_fields(piece, redactor)


def _bytes_fields(data: bytes, redactor: Redactor) -> dict[str, Any]:
    text = data.decode("latin-1")
    if redactor.text(text) != text:
        return {"left_out": "it holds a secret", "body_bytes": len(data)}
    return {"base64": base64.b64encode(data).decode()}


def _left_out(body: bytes, why: str) -> dict[str, Any]:
    return {
        "left_out": why,
        "body_bytes": len(body),
        "body_sha256": hashlib.sha256(body).hexdigest(),
    }
