"""Reads and checks the body of a request."""

import re
from codecs import BOM_UTF8
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import msgspec
from flask import Request, current_app
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from flask_sluice.gateway.request.body_budget import HeldBody, begin_to_hold
from flask_sluice.stream.errors import ApiError

if TYPE_CHECKING:
    # The standard library has these types (wsgiref.types) from Python 3.11 on.
    from _typeshed.wsgi import InputStream, WSGIEnvironment

T = TypeVar("T")
Explain = Callable[[bytes, msgspec.ValidationError], ApiError | None]

_PIECE_BYTES = 16 * 1024
"""How much of a body is read before it counts."""

_PLACE = re.compile(r" - at `(?P<place>[^`]*)`$")
_FIELD = re.compile(r"(missing required|contains unknown) field `(?P<field>[^`]*)`")


def read_json(request: Request) -> bytes:
    """Return the request's body, without a byte order mark, which not every server's JSON parser takes.

    Raises ApiError 415 if its Content-Type is not JSON, and what ``read_bytes`` raises.
    """
    if request.environ.get("CONTENT_TYPE") != "application/json" and not _is_json(request.mimetype):
        given = f"not {request.mimetype}" if request.mimetype else "and the request names no type"
        raise ApiError(
            415,
            "unsupported_media_type",
            f"the body must be application/json, {given}; "
            "with curl, add -H 'Content-Type: application/json'",
        )
    return read_bytes(request).removeprefix(BOM_UTF8)


def read_bytes(request: Request) -> bytes:
    """Return the request's body.

    Raises HTTPException: 413 if it is too large, 400 if the client left before its end. Raises ApiError 415 if it is
    compressed.
    """
    environ = request.environ
    coding = environ.get("HTTP_CONTENT_ENCODING", "")
    if coding and coding.strip().lower() != "identity":
        raise ApiError(
            415,
            "unsupported_media_type",
            f"a body with Content-Encoding: {coding} is not taken; send it uncompressed",
        )
    length = environ.get("CONTENT_LENGTH")
    limit = request.max_content_length
    if limit is None or not (length or environ.get("wsgi.input_terminated")):
        return request.get_data()
    if not length:
        # One byte more tells a chunked body that is too large from one that ends at the limit.
        body = _read(environ, limit + 1)
        if len(body) > limit:
            raise _too_large(limit)
        return body
    if int(length) > limit:
        raise _too_large(limit)
    # get_data() would do the same 35 us later, 8 % of a short answer. gunicorn's input ends where the body ends.
    body = _read(environ, int(length))
    if len(body) < int(length):
        raise ClientDisconnected
    return body


def _read(environ: "WSGIEnvironment", size: int) -> bytes:
    """Return the body up to so many bytes, each of which counts in the worker's budget once it has come.

    Raises ClientDisconnected, or ApiError 503 where the budget has no room.
    """
    stream = environ["wsgi.input"]
    try:
        body: bytes = stream.read(min(size, _PIECE_BYTES))
        if not body:
            return body
        held = begin_to_hold(current_app, environ)
        held.add(len(body))
        # Nearly all bodies are read now.
        return body if len(body) < _PIECE_BYTES else _read_on(stream, bytearray(body), size, held)
    except OSError:
        raise ClientDisconnected from None


def _read_on(stream: "InputStream", body: bytearray, size: int, held: HeldBody) -> bytes:
    held.mark_unfinished()
    try:
        while len(body) < size and (piece := stream.read(min(size - len(body), _PIECE_BYTES))):
            held.add(len(piece))
            body += piece
        held.check()
    finally:
        held.mark_read()
    return bytes(body)


def _too_large(limit: int) -> RequestEntityTooLarge:
    return RequestEntityTooLarge(f"the body is larger than {limit} bytes, the limit here")


def decode(body: bytes, type_: type[T], explain: Explain | None = None) -> T:
    """Return the JSON as a ``type_``.

    explain: returns an API's own refusal of a body that is not of the type, or None where it has none

    Raises ApiError 400 if it is not JSON, or not of the type; ``param`` then names the field.
    """
    try:
        return msgspec.json.decode(body, type=type_)
    except msgspec.ValidationError as error:
        if explain is not None and (refusal := explain(body, error)) is not None:
            raise refusal from None
        message, param = _explain(str(error))
        raise ApiError(400, "invalid_request", message, param=param) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ApiError(400, "invalid_json", f"the body is not JSON: {error}") from None
    except RecursionError:
        raise ApiError(400, "invalid_json", "the body is nested too deeply") from None


def _is_json(mimetype: str) -> bool:
    return re.fullmatch(r"application/(.+\+)?json", mimetype) is not None


def _explain(message: str) -> tuple[str, str | None]:
    """Return msgspec's message in our form, and the field that it is about.

    msgspec gives the place as a path (``$.messages[0]``), and a missing field in the message.
    """
    place = _PLACE.search(message)
    path = place["place"].removeprefix("$").removeprefix(".") if place else ""
    if field := _FIELD.search(message):
        path = f"{path}.{field['field']}" if path else field["field"]
    text = _PLACE.sub("", message)
    return (f"{path}: {text}" if path else text), path or None
