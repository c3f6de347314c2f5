"""The error that a stream's terminal event tells of, for the status, the log and the metrics of those that read it."""

import re

import msgspec

from flask_sluice.sse import EventParser
from flask_sluice.stream.errors import ErrorBody, as_api_error

_COMMENT = re.compile(rb'(?:^|\n): (\{"error":.*\})\n')


class _Told(msgspec.Struct):
    code: str | int | None = None
    message: str = ""
    type: str = "server_error"
    param: str | None = None


class _ErrorData(msgspec.Struct):
    error: _Told


_decode = msgspec.json.Decoder(_ErrorData).decode


def with_error(event: bytes, error: Exception) -> bytes:
    """Return an app's own error event with the error in a comment, since its form may be any."""
    return b": %b\n%b" % (msgspec.json.encode({"error": as_api_error(error).body()}), event)


def error_in(event: bytes) -> ErrorBody | None:
    """Return the error that a terminal event tells of; None if it completes the answer."""
    found = _COMMENT.search(event)
    if found is not None:
        return _body(found[1])
    for received in EventParser().feed(event):
        if received.event == "error":
            return _body(received.data)
    return None


def _body(data: str | bytes) -> ErrorBody:
    try:
        told = _decode(data)
    except msgspec.DecodeError:  # In a form of its own.
        return {
            "message": "",
            "type": "server_error",
            "param": None,
            "code": "upstream_error",
        }
    error = told.error
    return {
        "message": error.message,
        "type": error.type,
        "param": error.param,
        "code": error.code,
    }
