"""The fields of a relayed request that Sluice reads, and whether they ask for a stream."""

import json
import re
from typing import Any

import msgspec
from flask import Request

from flask_sluice.gateway.large_json import has_many_values, small_value
from flask_sluice.gateway.request.body import decode
from flask_sluice.gateway.request.form import InvalidFormError, fields_of, is_form
from flask_sluice.stream.errors import ApiError

_TRUE = ("true", "1", "on", "yes", "t", "y")
"""What the servers behind take for true, in any case (pydantic, "Booleans")."""

_ABSENT = msgspec.Raw(b"null")
_MAX_VALUE_BYTES = 4096
_LIST_OF_PROMPTS = re.compile(rb"\[\s*[^\s\d\]-]")
"""A list that begins with a number is one prompt, of tokens."""


class _Fields(msgspec.Struct):
    """The fields as they came. A client could send millions of values in any of them."""

    model: msgspec.Raw = _ABSENT
    stream: msgspec.Raw = _ABSENT
    stream_format: msgspec.Raw = _ABSENT
    n: msgspec.Raw = _ABSENT
    prompt: msgspec.Raw = _ABSENT


class Call(msgspec.Struct):
    """The fields of a request's body that Sluice reads. They may hold anything: the upstream judges them.

    choice_count: how many choices the answer has: ``n`` of them for each prompt (of ``/v1/completions``, which takes a list)
    """

    model: Any = None
    stream: Any = None
    stream_format: Any = None
    choice_count: int = 1

    @property
    def model_name(self) -> str | None:
        return self.model if isinstance(self.model, str) else None


def read_call(body: bytes, *, is_completion: bool) -> Call:
    """Read the fields that Sluice needs, as leniently as the servers behind read them.

    A body that is not a JSON object has no fields. Raises ApiError 400 for such a body of a completion.
    """
    if not body and not is_completion:
        return Call()
    try:
        fields = decode(body, _Fields)
    except ApiError as error:
        read = _as_python_reads_it(body)
        if read is not None:
            return Call(read.get("model"), read.get("stream"), read.get("stream_format"))
        if is_completion:
            raise error from None
        return Call()
    return Call(
        _model(fields.model),
        small_value(fields.stream, _MAX_VALUE_BYTES),
        small_value(fields.stream_format, _MAX_VALUE_BYTES),
        _choice_count(fields),
    )


def _model(raw: msgspec.Raw) -> Any:
    """Return the model, whose name may have any length; None for a large value of another type."""
    data = memoryview(raw)
    is_text = bytes(data[:1]) == b'"'
    return small_value(raw, data.nbytes if is_text else _MAX_VALUE_BYTES)


def _choice_count(fields: _Fields) -> int:
    n = small_value(fields.n, _MAX_VALUE_BYTES)
    count = n if isinstance(n, int) and n > 0 else 1
    prompts = memoryview(fields.prompt)
    if _LIST_OF_PROMPTS.match(prompts) and not has_many_values(bytes(prompts)):
        count *= len(small_value(fields.prompt, prompts.nbytes) or [None])
    return count


def _as_python_reads_it(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object that most servers behind see: json.loads takes NaN, UTF-16 and half surrogate pairs too."""
    if body.lstrip()[:1] not in (b"{", b"\xef", b"\xff", b"\xfe", b"\0") or has_many_values(body):
        return None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def asks_for_stream(request: Request, call: Call, body: bytes, *, is_completion: bool) -> bool:
    """Return whether the answer will be a stream, as far as the request says so. The upstream may decide otherwise."""
    if call.stream is not None or is_completion:
        return _is_true(call.stream)
    if call.stream_format is not None:
        return bool(call.stream_format == "sse")
    environ = request.environ
    query = environ.get("QUERY_STRING", "")
    if "stream" in query and not body:
        return _is_true(request.args.get("stream"))
    content_type = environ.get("CONTENT_TYPE", "")
    if is_form(content_type):
        return _form_asks_for_stream(content_type, body)
    # A client that takes JSON as well must get it where the answer is JSON, even after the commit time.
    accept: str = environ.get("HTTP_ACCEPT", "")
    return "," not in accept and accept.partition(";")[0].strip().lower() == "text/event-stream"


def _form_asks_for_stream(content_type: str, body: bytes) -> bool:
    try:
        fields = {field.name: field.value for field in fields_of(content_type, body)}
    except InvalidFormError:
        return False
    return fields.get("stream_format") == b"sse" or _is_true(
        fields.get("stream", b"").decode("latin-1")
    )


def _is_true(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in _TRUE
    return value is True or value == 1
