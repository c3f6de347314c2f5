"""Event streams for the unit tests, and what their generators do."""

import json

import gevent

from flask_sluice.sse import EventParser
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.event_stream import EventStream
from flask_sluice.stream.feeds.encode_items import ItemEncoder
from flask_sluice.stream.feeds.event_queue import EventQueue
from flask_sluice.stream.feeds.generator_feed import GeneratorFeed
from flask_sluice.stream.headers_and_errors import error_for_openai
from flask_sluice.stream.options import StreamOptions

A, B = b"data: a\n\n", b"data: b\n\n"
KEEPALIVE = b": keep-alive\n"
FOREVER_SECONDS = 3600


class Stream(EventStream):
    """An EventStream with what most tests want; further keywords are StreamOptions.

    Without keep-alives, each of which would wake a stream that has missed what it waits for.
    """

    def __init__(self, items, *, context=None, preamble=None, on_disconnect=None, **options):
        self.context = context or StreamContext("request-7")
        settled = StreamOptions(**{"keepalive_seconds": FOREVER_SECONDS, **options})
        super().__init__(
            GeneratorFeed(items, self.context, EventQueue(settled.channel_size), ItemEncoder()),
            context=self.context,
            render_error=error_for_openai,
            client=None,
            options=settled,
            preamble=preamble,
            on_disconnect=on_disconnect,
        )

    def read_all(self):
        """The body as gunicorn would write it."""
        try:
            return b"".join(self)
        finally:
            self.close()


def endless(ended, event=A):
    try:
        while True:
            yield event
    except GeneratorExit:
        ended.append("GeneratorExit")
        raise


def blocked(ended):
    """Waits for something else than its context, as for an upstream that says nothing."""
    try:
        yield A
        gevent.sleep(FOREVER_SECONDS)
    except GeneratorExit:
        ended.append("GeneratorExit")
        raise


def listening(context, first=A):
    """Waits for its context alone, for as long as the stream runs."""
    if first is not None:
        yield first
    context.wait(None)


def error_in(body):
    """The error of a body whose last event is an error event."""
    *_, last = EventParser().feed(body)
    assert last.event == "message"
    return json.loads(last.data)["error"]
