"""Event streams for the unit tests, and what their generators do."""

import json

import gevent

from wsgi.sse import EventParser
from wsgi.stream import Channel, EventStream, PushFeed, StreamContext, StreamOptions
from wsgi.stream.rendering import error_for_openai

A, B = b"data: a\n\n", b"data: b\n\n"
KEEPALIVE = b": keep-alive\n\n"
FOREVER_SECONDS = 3600


class Stream(EventStream):
    """An EventStream with what most tests want; further keywords are StreamOptions.

    Without keep-alives, each of which would wake a stream that has missed what it waits for.
    """

    def __init__(self, items, *, context=None, preamble=None, on_disconnect=None, **options):
        self.context = context or StreamContext("request-7")
        settled = StreamOptions(**{"keepalive_seconds": FOREVER_SECONDS, **options})
        super().__init__(
            PushFeed(items, self.context, Channel(settled.channel_size)),
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
