"""Sluice streams server-sent events from ordinary WSGI.

The names of this package are imported when they are first used, so that a gunicorn file can import
``flask_sluice.server`` and patch the process before Flask is imported. They need Flask and msgspec, and none of the extras:
neither gevent nor gunicorn, urllib3, redis or prometheus-client.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask_sluice.channels import Channels
    from flask_sluice.extension.sluice import Sluice
    from flask_sluice.journal.streams import Streams
    from flask_sluice.sse import Event
    from flask_sluice.stream.context import StreamContext
    from flask_sluice.stream.errors import ApiError
    from flask_sluice.stream.sse_response import sse_response

__version__ = "0.2.0"

__all__ = ["ApiError", "Channels", "Event", "Sluice", "StreamContext", "Streams", "sse_response"]

_MODULES = {
    "ApiError": "flask_sluice.stream.errors",
    "Channels": "flask_sluice.channels",
    "Event": "flask_sluice.sse",
    "Sluice": "flask_sluice.extension.sluice",
    "StreamContext": "flask_sluice.stream.context",
    "Streams": "flask_sluice.journal.streams",
    "sse_response": "flask_sluice.stream.sse_response",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *_MODULES]
