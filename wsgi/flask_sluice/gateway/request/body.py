"""Reads and checks the body of a request."""

import re
from typing import TypeVar

import msgspec
from flask import Request
from flask.globals import request_ctx
from werkzeug.exceptions import ClientDisconnected

from flask_sluice.stream.errors import ApiError

T = TypeVar("T")

_PLACE = re.compile(r" - at `(?P<place>[^`]*)`$")
_FIELD = re.compile(r"(missing required|contains unknown) field `(?P<field>[^`]*)`")


def read_body(type_: type[T]) -> T:
    """The current request's JSON body as a ``type_``. Reads it, so it can be asked for once.

    Raises what ``read_json`` and ``decode`` raise.
    """
    return decode(read_json(request_ctx.request), type_)


def read_json(request: Request) -> bytes:
    """The request's body. Raises ApiError 415 if it says that it is not JSON, and what ``read_bytes`` raises."""
    if request.environ.get("CONTENT_TYPE") != "application/json" and not _may_be_json(
        request.mimetype
    ):
        raise ApiError(
            415,
            "unsupported_media_type",
            f"the body must be application/json, not {request.mimetype}",
        )
    return read_bytes(request)


def read_bytes(request: Request) -> bytes:
    """The request's body. Raises HTTPException: 413 if it is too large, 400 if the client has left in its midst."""
    length = request.environ.get("CONTENT_LENGTH")
    limit = request.max_content_length
    if length is None or limit is None or int(length) > limit:
        return request.get_data()
    # What get_data() does in the end, 35 us later: gunicorn's input ends where the body ends.
    try:
        body: bytes = request.environ["wsgi.input"].read(int(length))
    except OSError:
        raise ClientDisconnected from None
    if len(body) < int(length):
        raise ClientDisconnected
    return body


def decode(body: bytes, type_: type[T]) -> T:
    """Raises ApiError 400 for what is not JSON or not of the type; ``param`` then names the field."""
    try:
        return msgspec.json.decode(body, type=type_)
    except msgspec.ValidationError as error:
        message, param = _explain(str(error))
        raise ApiError(400, "invalid_request", message, param=param) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ApiError(400, "invalid_json", f"the body is not JSON: {error}") from None
    except RecursionError:
        raise ApiError(400, "invalid_json", "the body is nested too deeply") from None


def check_model(name: str, models: tuple[str, ...]) -> None:
    """Raises ApiError 404 for a model that is none of those accepted; none given: any is."""
    if models and name not in models:
        raise ApiError(
            404,
            "model_not_found",
            f"there is no model {name!r} here; there is {', '.join(models)}",
            param="model",
        )


def _may_be_json(mimetype: str) -> bool:
    return not mimetype or re.fullmatch(r"application/(.+\+)?json", mimetype) is not None


def _explain(message: str) -> tuple[str, str | None]:
    """msgspec names the place as a path (``$.messages[0]``); a missing field is named in the message."""
    place = _PLACE.search(message)
    path = place["place"].removeprefix("$").removeprefix(".") if place else ""
    if field := _FIELD.search(message):
        path = f"{path}.{field['field']}" if path else field["field"]
    text = _PLACE.sub("", message)
    return (f"{path}: {text}" if path else text), path or None
