"""Settings for the unit tests, and what must be left of a stream: nothing."""

import gc
import json
import logging

import gevent
import pytest
from flask import Flask
from hypothesis import HealthCheck, settings

from flask_sluice.journal import turns
from flask_sluice.stream import accounting, event_stream, registry
from flask_sluice.stream.loop.ticker import Ticker
from flask_sluice.stream.sse_response import sse_response
from flask_sluice.stream.threads.open_streams import open_streams
from tests.unit.clock import Clock
from tests.unit.greenlets import TIMEOUT_SECONDS
from tests.unit.wsgi_server import Greenlets, Threads, WsgiServer

# No deadline for a single example, nor for making them: on a busy machine any one of them may take long.
settings.register_profile("sluice", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sluice")


@pytest.fixture(autouse=True)
def own_worker_objects():
    """Each test has its own: a stream that a failed test has left does not count in the next."""
    registry.reset()
    open_streams.forget()


@pytest.fixture(autouse=True)
def no_garbage_collection():
    """The collector may run in any thread, and what another test has left of gevent's event loop may be closed in its own only."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(autouse=True)
def loop_knows_what_time_it_is():
    """gevent's sleep() and joinall() count from the loop's last turn, which may have been minutes ago, in a test before."""
    gevent.get_hub().loop.update_now()


@pytest.fixture(autouse=True)
def journals_of_greenlets(monkeypatch):
    """Journals run on gevent, as the streams of these tests do, although gevent has not patched this process."""
    monkeypatch.setattr(turns, "is_patched", lambda: True)


@pytest.fixture
def nothing_is_left_behind(own_worker_objects):
    """No test may hang, and each stream gives back its place and its timers."""
    with gevent.Timeout(TIMEOUT_SECONDS, AssertionError("the stream hangs")):
        yield
    assert len(registry.ticker()) == 0
    assert registry.admission().count == 0


@pytest.fixture
def clock(monkeypatch, own_worker_objects):
    """For streams that begin in the test: their time stands still until the test turns the clock."""
    clock = Clock()
    for module in (event_stream, accounting):
        monkeypatch.setattr(module, "time", clock)
    ticker = Ticker(registry.stats().loop_lags.add, clock.monotonic)
    monkeypatch.setattr(registry, "ticker", lambda: ticker)
    yield clock
    assert len(ticker) == 0


@pytest.fixture
def ended():
    """How the generator that was given this list ended: what it appends to it."""
    return []


@pytest.fixture(params=[Threads, Greenlets], ids=lambda kind: kind.name)
def kind(request):
    """A kind of server."""
    return request.param


@pytest.fixture
def server(kind, monkeypatch):
    server = WsgiServer(kind, Flask(__name__), monkeypatch)
    yield server
    server.stop()


@pytest.fixture
def stream(server):
    """Has the app answer with a stream of these items; returns the call."""
    arguments = {}
    server.app.add_url_rule("/", "stream", lambda: sse_response(**arguments))

    def stream(items, *, environ=None, **options):
        arguments.clear()
        arguments.update(items=items, **options)
        return server.get(**(environ or {}))

    return stream


@pytest.fixture
def log(caplog):
    """The log lines of streams that have ended."""
    caplog.set_level(logging.INFO, "sluice.stream")
    return lambda: [
        json.loads(record.getMessage())
        for record in caplog.records
        if record.getMessage().startswith("{")
    ]
