"""Holds requests to the models of SLUICE_MODELS, wherever a request can name one.

Servers read requests in different ways: the first or the last of two equal keys, keys in any case, UTF-16, NaN. A request
that two servers could read differently is refused, since Sluice would check another model than the upstream takes.
"""

import json
from collections.abc import Iterator
from typing import Any, NoReturn
from urllib.parse import parse_qsl, unquote

import msgspec
from flask import Request

from flask_sluice.gateway.large_json import has_many_values, small_value
from flask_sluice.gateway.request.body import decode
from flask_sluice.gateway.request.form import InvalidFormError, fields_of, is_form
from flask_sluice.stream.errors import ApiError

_NAMED_IN_PATH = ("models", "engines", "deployments")
_LISTS = ("models", "fallbacks")
"""OpenRouter's and LiteLLM's: what may answer instead of ``model``."""


class _Object(list[tuple[str, Any]]):
    """A JSON object with all its keys, equal ones too."""


class _Named(msgspec.Struct):
    model: msgspec.Raw = msgspec.Raw(b"null")


_MAX_NAME_BYTES = 4096
_DECODER = json.JSONDecoder(object_pairs_hook=_Object, parse_int=float)
"""Numbers do not matter here, and int() takes quadratic time."""


def check_model(name: str, models: tuple[str, ...]) -> None:
    """Raise ApiError 404 for a model that is not accepted. Without ``models`` any name is accepted."""
    if models and name not in models:
        raise ApiError(
            404,
            "model_not_found",
            f"there is no model {name[:256]!r} here; there is {', '.join(models)}",
            param="model",
        )


def check_models(request: Request, path: str, body: bytes, models: tuple[str, ...]) -> None:
    """Check each model that a request to a relayed route names: in its body, its query or its path.

    path: below /v1, as it came, with its query

    Raises ApiError 404 for one that is not accepted, and 400 where it cannot be known what the request names.
    """
    target, _, query = path.partition("?")
    _check_path(unquote(target).strip("/"), models)
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key.lower() == "model":
            check_model(value, models)
    if not body:
        return
    if request.method == "POST" and target.rstrip("/").endswith("/batches"):
        _refuse("a batch is not accepted where SLUICE_MODELS is set, since a file names its models")
    content_type = request.environ.get("CONTENT_TYPE", "")
    if is_form(content_type):
        _check_form(content_type, body, models)
    elif request.mimetype == "application/x-www-form-urlencoded":
        raise ApiError(
            415,
            "unsupported_media_type",
            "where SLUICE_MODELS is set, a body must be JSON or multipart/form-data",
        )
    else:
        _check_json(body, models)


def _check_path(path: str, models: tuple[str, ...]) -> None:
    """Check the model in ``models/NAME``, ``engines/NAME/completions`` and the like; a name may hold slashes."""
    segments = path.split("/")
    for place, segment in enumerate(segments[:-1], start=1):
        kind = segment.partition(";")[0].lower()
        if kind in _NAMED_IN_PATH:
            rest = "/".join(segments[place:])
            is_prefix = kind != "models" and rest.startswith(tuple(f"{name}/" for name in models))
            if not is_prefix:
                check_model(rest, models)
            return


def _check_json(body: bytes, models: tuple[str, ...]) -> None:
    only_name = _only_name(body)
    if only_name is not None:
        check_model(only_name, models)
        return
    if has_many_values(body):
        _refuse("the body has too many values to look for models among them")
    decode(body, object)  # Strict: Python's decoder takes half surrogate pairs and NaN.
    try:
        document = _DECODER.decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "invalid_json", f"the body is not JSON: {error}") from None
    for name in _names_in(document):
        if not isinstance(name, str):
            _refuse("a model must be a string")
        check_model(name, models)


def _only_name(body: bytes) -> str | None:
    """Return the model of a body that has room for no other, as most have; None for others.

    Raises ApiError 400 for a body that is not JSON.
    """
    lowered = body.lower()
    if lowered.count(b"model") != 1 or b"fallbacks" in lowered or b"\\u" in body:
        return None
    try:
        body.decode()  # msgspec looks into the fields that it reads only.
    except UnicodeDecodeError:
        return None
    model = small_value(decode(body, _Named).model, _MAX_NAME_BYTES)
    return model if isinstance(model, str) else None


def _names_in(document: object) -> Iterator[object]:
    if isinstance(document, _Object):
        keys = [key.lower() for key, _ in document]
        for name in ("model", *_LISTS):
            if keys.count(name) > 1:
                _refuse(f"the body has the key {name!r} more than once")
        for key, (_, value) in zip(keys, document, strict=True):
            if key == "model" and value is not None:
                yield value
            elif key in _LISTS and value is not None:
                yield from _items_of(value)
            elif key in ("session", "tools"):
                # Of a realtime session, and of tools that have a model of their own.
                yield from _names_in(value)
    elif isinstance(document, list):
        for item in document:
            yield from _names_in(item)


def _items_of(value: object) -> Iterator[object]:
    for item in value if isinstance(value, list) and not isinstance(value, _Object) else [value]:
        if isinstance(item, _Object):
            yield from _names_in(item)
        else:
            yield item


def _check_form(content_type: str, body: bytes, models: tuple[str, ...]) -> None:
    try:
        fields = fields_of(content_type, body)
    except InvalidFormError as error:
        _refuse(f"the form cannot be read: {error}")
    named = [field for field in fields if field.name.strip().lower() in ("model", "model[]")]
    if len(named) > 1:
        _refuse("the form names its model more than once")
    for field in named:
        if not field.is_plain:
            _refuse("the form's model must be plain text")
        check_model(field.value.decode("utf-8", "replace"), models)


def _refuse(message: str) -> NoReturn:
    raise ApiError(400, "invalid_request", message, param="model")
