"""Sluice streams server-sent events from ordinary WSGI.

Importing this package imports Flask and msgspec, and none of the extras: neither gevent nor gunicorn, urllib3, redis or
prometheus-client.
"""

from flask_sluice.sse import Event
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.responses import sse_response

__version__ = "0.2.0"

__all__ = ["ApiError", "Event", "StreamContext", "sse_response"]
