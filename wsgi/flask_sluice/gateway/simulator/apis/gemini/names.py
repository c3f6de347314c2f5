"""Names of fields: Google's JSON may have them in camel case and in snake case."""

import re
import typing
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct

from flask_sluice.stream.errors import ApiError

_SNAKE = re.compile(rb'"[a-z]{1,30}(?:_[a-z]{1,30}){1,5}"\s*:')
_MAX_QUOTES = 60_000
"""Two for each name, whose renaming takes a microsecond."""
_Fields = dict[str, tuple[str, type[Struct] | None]]


def in_camel_case(body: bytes, type_: type[Struct]) -> bytes:
    """Return the JSON of a ``type_`` with its own fields in camel case, and all else as it is.

    Names inside of schemas, arguments and results are the program's, and stay. JSON that is not of the type stays too: whoever
    decodes it says why.

    Raises ApiError 400 for JSON with so many names that renaming them would take long.
    """
    if _SNAKE.search(body) is None:
        return body
    if body.count(b'"') > _MAX_QUOTES:
        raise ApiError(
            400,
            "invalid_request",
            f"the simulator reads names in snake case only where there are at most {_MAX_QUOTES} quotation marks; "
            "write them in camel case",
        )
    try:
        return _renamed(body, type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body


def _renamed(value: bytes, type_: type[Struct]) -> bytes:
    value = value.strip()
    if value.startswith(b"["):
        items = msgspec.json.decode(value, type=list[msgspec.Raw])
        # A list in a list is none of Google's.
        objects = [bytes(item) for item in items]
        return b"[" + b",".join(_renamed(o, type_) if o[:1] == b"{" else o for o in objects) + b"]"
    if not value.startswith(b"{"):
        return value
    fields = _fields(type_)
    renamed: dict[str, msgspec.Raw] = {}
    for name, inner in msgspec.json.decode(value, type=dict[str, msgspec.Raw]).items():
        told, inner_type = fields.get(name, (name, None))
        renamed[told] = msgspec.Raw(_renamed(bytes(inner), inner_type)) if inner_type else inner
    return msgspec.json.encode(renamed)


@cache
def _fields(type_: type[Struct]) -> _Fields:
    """Return, by both of its names, the name of each field in camel case and the object that it holds."""
    hints: dict[str, Any] = typing.get_type_hints(type_)
    fields: _Fields = {}
    for field in msgspec.structs.fields(type_):
        told = field.encode_name, _struct_in(hints[field.name])
        fields[field.name] = fields[field.encode_name] = told
    # How the simulator answers is its own, not Google's.
    fields["simulator"] = "simulator", None
    return fields


def _struct_in(hint: Any) -> type[Struct] | None:
    if isinstance(hint, type) and issubclass(hint, Struct):
        return hint
    found = (_struct_in(each) for each in typing.get_args(hint))
    return next((each for each in found if each is not None), None)
