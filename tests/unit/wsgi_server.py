"""Calls an app as a WSGI server does: one with a thread, or one with a greenlet, for each request."""

import json
import socket
import threading
import time
from contextlib import closing

import gevent
import gevent.event
from werkzeug.test import EnvironBuilder

from flask_sluice.sse import EventParser
from flask_sluice.stream import registry, sse_response
from flask_sluice.stream.threads.departures import departures
from flask_sluice.stream.threads.open_streams import open_streams

TIMEOUT_SECONDS = 20
SHORT_SECONDS = 0.05
LONG_SECONDS = 3600
OPENING = b": stream\n"
A = b"data: a\n\n"
DONE = b"event: done\ndata: x\n\n"


class Threads:
    """A server whose requests have threads, and what code on it waits with."""

    name = "threads"
    Flag = threading.Event
    sleep = staticmethod(time.sleep)

    @staticmethod
    def spawn(function):
        threading.Thread(target=function, daemon=True).start()

    @staticmethod
    def left_behind():
        """How many generators run, and connections are watched."""
        return len(open_streams()), len(departures())

    @staticmethod
    def has_noticed(stream):
        """Whether the stream knows that its client has left."""
        return stream._feed.has_left

    @staticmethod
    def is_finished(stream):
        """Whether its generator is done."""
        return stream._feed.is_finished


class Greenlets:
    """A server whose requests have greenlets."""

    name = "greenlets"
    Flag = gevent.event.Event
    sleep = staticmethod(gevent.sleep)
    spawn = staticmethod(gevent.spawn)

    @staticmethod
    def left_behind():
        return len(registry.ticker()), len(registry.disconnect_watcher())

    @staticmethod
    def has_noticed(stream):
        return stream._departure is not None

    @staticmethod
    def is_finished(stream):
        return stream._feed.is_finished


class WsgiServer:
    """Serves one app.

    kind: Threads or Greenlets
    """

    def __init__(self, kind, app, monkeypatch):
        self.app = app
        self.kind = kind
        self.calls = []
        # gevent's patches, which make the difference, would be for all tests of the process.
        monkeypatch.setattr(sse_response, "streams_on_gevent", lambda _environ: kind is Greenlets)

    def get(self, path="/", method="GET", **environ):
        call = Call(self.app, path, method, environ)
        self.calls.append(call)
        return call

    def body(self, path="/"):
        """The whole body of a response."""
        call = self.get(path)
        try:
            return call.rest()
        finally:
            call.close()

    def wait_until(self, condition):
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not condition():
            assert time.monotonic() < deadline, "what was waited for never came"
            self.kind.sleep(0.001)

    def leave(self, call):
        """The client leaves, and the server has noticed."""
        call.leave()
        self.wait_until(lambda: self.kind.has_noticed(call.body))

    def stop(self):
        for call in self.calls:
            call.stop()
        self.wait_until(lambda: self.kind.left_behind() == (0, 0))
        self.wait_until(lambda: registry.admission().count == 0)


class Call:
    """One request, as gunicorn makes it. The body is read by ``next()``; ``close`` is the server's, ``leave`` the client's."""

    def __init__(self, app, path, method, environ):
        self._client, self._server = socket.socketpair()
        builder = EnvironBuilder(path, method=method)
        with closing(builder):
            self.environ = {
                **builder.get_environ(),
                "SERVER_SOFTWARE": "gunicorn",
                "gunicorn.socket": self._server,
                "wsgi.multithread": True,
                **environ,
            }
        self.body = app(self.environ, self._start_response)
        self._chunks = iter(self.body)

    def _start_response(self, status, headers, exc_info=None):
        self.status = int(status.split()[0])
        self.headers = dict(headers)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._chunks)

    def until(self, text):
        """The body up to ``text``."""
        data = b""
        while text not in data:
            data += next(self)
        return data

    def rest(self):
        return b"".join(self)

    def close(self):
        self.body.close()

    def leave(self):
        self._client.close()

    def stop(self):
        try:
            self.body.close()
        finally:
            self._client.close()
            self._server.close()


def events_in(body):
    """(event, data) of each."""
    return [(event.event, event.data) for event in EventParser().feed(body)]


def whole(call):
    """The body behind the opening comment, read to its end and closed."""
    body = call.rest()
    call.close()
    assert body.startswith(OPENING)
    return body.removeprefix(OPENING)


def error_in(body):
    event, data = events_in(body)[-1]
    assert event == "error"
    return json.loads(data)["error"]
