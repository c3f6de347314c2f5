"""Server-sent events: bytes <-> events. No I/O, no gevent, no Flask.

The format is that of the WHATWG HTML standard, section 9.2 "Server-sent events":
https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from wsgi.sse.annotated import Annotated, EventError
from wsgi.sse.event import Event, ReceivedEvent
from wsgi.sse.framer import BLANK_LINE_ENDS, EventFramer
from wsgi.sse.parser import EventParser, EventTooLargeError
from wsgi.sse.pause import Pause

__all__ = [
    "BLANK_LINE_ENDS",
    "Annotated",
    "Event",
    "EventError",
    "EventFramer",
    "EventParser",
    "EventTooLargeError",
    "Pause",
    "ReceivedEvent",
]
