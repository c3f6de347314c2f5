"""Server-sent events: bytes <-> events. No I/O, no gevent, no Flask.

The format is that of the WHATWG HTML standard, section 9.2 "Server-sent events":
https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from flask_sluice.sse.event import Event, ReceivedEvent
from flask_sluice.sse.framer import BLANK_LINE_ENDS, EventFramer
from flask_sluice.sse.parser import EventParser, EventTooLargeError

__all__ = [
    "BLANK_LINE_ENDS",
    "Event",
    "EventFramer",
    "EventParser",
    "EventTooLargeError",
    "ReceivedEvent",
]
