"""A generator becomes a well-behaved response body, on gunicorn's gevent worker.

``sse_response`` is all that a Flask app of your own needs.
"""

import sys

from wsgi.stream import worker
from wsgi.stream.channel import Channel
from wsgi.stream.context import Outcome, StreamContext
from wsgi.stream.event_stream import EventStream
from wsgi.stream.inflight import Inflight, InflightGuard, TooManyStreamsError
from wsgi.stream.options import StreamOptions
from wsgi.stream.pull_feed import PullFeed
from wsgi.stream.push_feed import PushFeed
from wsgi.stream.response import sse_response
from wsgi.stream.timed_feed import TimedFeed

__all__ = [
    "Channel",
    "EventStream",
    "Inflight",
    "InflightGuard",
    "Outcome",
    "PullFeed",
    "PushFeed",
    "StreamContext",
    "StreamOptions",
    "TimedFeed",
    "TooManyStreamsError",
    "sse_response",
]

# A server's start fails here rather than its first request later. Shells and test suites, which are no
# server, may import this without gevent's patches.
if "gunicorn.arbiter" in sys.modules:
    worker.require_gevent()
