"""Streams on servers with threads, where it matters that several threads have a hand in them."""

import fcntl
import gc
import os
import resource
import socket
import ssl
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from flask_sluice.observe.outcome import Outcome
from flask_sluice.stream import registry
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.sse_response import sse_response
from flask_sluice.stream.threads import client, departures, open_streams
from flask_sluice.stream.threads.per_process import PerProcess
from tests.support.certificate import make_certificates
from tests.unit.wsgi_server import Threads, WsgiServer, events_in

pytestmark = [pytest.mark.timeout(30), pytest.mark.usefixtures("no_thread_fails")]

LONG_SECONDS = 3600
A = b"data: a\n\n"
DONE = b"data: [DONE]\n\n"


@pytest.fixture
def no_thread_fails(monkeypatch):
    failures = []
    monkeypatch.setattr(threading, "excepthook", failures.append)
    yield
    assert failures == []


@pytest.fixture
def server(monkeypatch, no_thread_fails):
    server = WsgiServer(Threads, Flask(__name__), monkeypatch)
    yield server
    server.stop()


@pytest.fixture
def stream(server):
    arguments = {}
    server.app.add_url_rule("/", "stream", lambda: sse_response(**arguments))

    def stream(items, *, environ=None, **options):
        arguments.clear()
        arguments.update(items=items, **options)
        return server.get(**(environ or {}))

    return stream


def endless():
    while True:
        yield A


def waiting(context):
    yield A
    context.wait(None)


class TestManyThreads:
    def test_count_each_stream_once(self, server):
        server.app.add_url_rule("/<int:n>", "view", lambda n: sse_response([A] * n))
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            with ThreadPoolExecutor(16) as pool:
                bodies = list(pool.map(lambda n: server.body(f"/{n % 20}"), range(400)))
        finally:
            sys.setswitchinterval(interval)
        assert [body.count(A) for body in bodies] == [n % 20 for n in range(400)]
        stats = registry.stats()
        assert sum(stats.ended.values()) == 400
        assert sum(stats.open.values()) == 0
        assert stats.events == sum(n % 20 for n in range(400))
        assert sum(stats.durations["/<int:n>"].counts) == 400

    def test_may_close_a_stream_at_the_same_time(self, stream, server):
        for _ in range(50):
            left = []
            call = stream(endless(), on_disconnect=lambda left=left: left.append(1))
            call.until(A)
            together = threading.Barrier(4)

            def close(call=call, together=together):
                together.wait()
                call.close()

            closers = [threading.Thread(target=close) for _ in range(4)]
            for closer in closers:
                closer.start()
            for closer in closers:
                closer.join()
            assert left == [1]

    def test_may_stop_a_stream_at_the_same_time(self, stream):
        context = StreamContext()
        stopped = []
        call = stream(waiting(context), context=context)
        call.until(A)
        for number in range(100):
            context.on_stop(lambda number=number: stopped.append(number))
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: context.stop_generating(), range(4)))
        assert sorted(stopped) == list(range(100))
        call.close()

    def test_all_hear_that_a_stream_is_stopped(self, stream):
        context = StreamContext()
        together = threading.Barrier(8)

        def wait():
            together.wait()
            return context.wait(LONG_SECONDS)

        call = stream([A], context=context)
        with ThreadPoolExecutor(8) as pool:
            heard = [pool.submit(wait) for _ in range(8)]
            context.stop_generating()
            assert [each.result() for each in heard] == [True] * 8
        call.close()

    def test_hear_each_stop_whenever_they_begin_to_listen(self, stream):
        for _ in range(200):
            context = StreamContext()
            context.use_threads()
            called = threading.Event()
            stopper = threading.Thread(target=context.stop_generating)
            stopper.start()
            context.on_stop(called.set)
            assert context.wait(LONG_SECONDS) is True
            assert called.wait(LONG_SECONDS)
            stopper.join()

    def test_may_close_a_body_while_another_waits_for_its_next_event(self, stream):
        context = StreamContext()
        call = stream(waiting(context), context=context)
        call.until(A)
        with ThreadPoolExecutor(1) as pool:
            rest = pool.submit(call.rest)
            call.close()
            assert rest.result() == b""
        assert context.outcome is Outcome.CANCELLED


class TestBodyThatIsDropped:
    def dropped(self, items, **options):
        """A view that begins a stream and answers with something else; returns what keeps its body alive."""

        def view():
            response = sse_response(items, **options)
            assert next(response.response).startswith(b":")
            self.cycle = [response.response]
            self.cycle.append(self.cycle)
            return "another answer"

        return view

    def test_ends_although_the_garbage_is_collected_while_the_numbers_are_guarded(
        self, server, monkeypatch
    ):
        ended = []

        def generate():
            try:
                yield from endless()
            finally:
                ended.append(True)

        server.app.add_url_rule("/", "view", self.dropped(generate()))
        gc.disable()
        try:
            server.get()
            del self.cycle
            # A third thread holds what a stream's end takes; the collector runs in this one, which must go on.
            with open_streams.open_streams().change:
                with ThreadPoolExecutor(1) as pool:
                    pool.submit(gc.collect).result(10)
                assert registry.admission().count == 1
        finally:
            gc.enable()
        server.wait_until(lambda: ended and registry.admission().count == 0)

    def test_does_not_hold_up_its_thread_for_a_generator_that_waits(self, server):
        may_end = threading.Event()

        def generate():
            yield A
            may_end.wait(LONG_SECONDS)

        server.app.add_url_rule("/", "view", self.dropped(generate()))
        server.get()
        server.wait_until(lambda: registry.admission().count == 1)
        self.cycle.clear()
        server.wait_until(lambda: registry.admission().count == 0)
        may_end.set()


class TestMemory:
    @pytest.fixture
    def without_collector(self):
        gc.collect()
        gc.disable()
        yield
        gc.enable()

    @pytest.mark.parametrize("how", ["whole", "failed", "closed", "left"])
    def test_of_a_stream_is_free_at_its_end(self, stream, server, without_collector, how):
        class Held:
            pass

        def generate():
            nonlocal held
            mine, held = held, None
            yield A
            if how == "failed":
                raise ApiError(503, "failed", "Only what is logged would be kept, by the log.")
            if how in ("closed", "left"):
                yield from endless()
            del mine

        held = Held()
        reference = weakref.ref(held)
        context = StreamContext()
        # The context stays with the app; it must not hold what is over.
        call = stream(generate(), context=context)
        call.until(A)
        if how == "left":
            call.leave()
        if how != "closed":
            call.rest()
        call.close()
        body = weakref.ref(call.body)
        server.wait_until(lambda: len(open_streams.open_streams()) == 0)
        call.stop()
        server.calls.clear()
        server.app.view_functions.clear()
        del call, stream
        server.wait_until(lambda: body() is None and reference() is None)


class TestLeaving:
    def test_is_noticed_for_the_connection_that_has_the_number_now(self):
        watcher = departures.Departures()
        first, second = threading.Event(), threading.Event()
        here, there = socket.socketpair()
        watcher.watch(here.fileno(), first.set)
        watcher.watch(here.fileno(), second.set)
        # The first stream is closed late.
        watcher.forget(here.fileno(), first.set)
        there.close()
        assert second.wait(10)
        watcher.forget(here.fileno(), second.set)
        here.close()
        assert not first.is_set()
        assert len(watcher) == 0

    def test_is_forgotten_although_the_server_has_closed_the_connection(self, stream):
        context = StreamContext()
        call = stream(waiting(context), context=context)
        call.until(A)
        assert len(departures.departures()) == 1
        call.environ["gunicorn.socket"].close()
        call.close()
        assert len(departures.departures()) == 0

    def test_is_seen_by_looking_where_the_system_tells_nothing(self, stream, monkeypatch):
        monkeypatch.setattr(client, "can_watch", lambda: False)
        monkeypatch.setattr(client, "_LOOK_SECONDS", 0.01)
        context = StreamContext()
        call = stream(waiting(context), context=context)
        call.until(A)
        call.leave()
        assert call.rest() == b""
        call.close()
        assert context.outcome is Outcome.CANCELLED

    def test_is_not_seen_in_a_client_that_sends_its_next_request(self):
        here, there = socket.socketpair()
        with here, there:
            assert not client._is_at_end(here)
            there.send(b"GET /")
            assert not client._is_at_end(here)
            assert here.recv(5) == b"GET /"
            there.close()
            assert client._is_at_end(here)

    def test_is_seen_behind_tls(self, tmp_path):
        certificate = make_certificates(tmp_path)["good"]
        ours, theirs = (
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        )
        ours.load_cert_chain(certificate)
        theirs.check_hostname, theirs.verify_mode = False, ssl.CERT_NONE
        here, there = socket.socketpair()
        with ThreadPoolExecutor(1) as pool:
            shaking = pool.submit(theirs.wrap_socket, there)
            here = ours.wrap_socket(here, server_side=True)
            there = shaking.result()
        with here, there:
            there.do_handshake()
            while client._is_readable(here):
                here.recv(1)
            assert not client._is_at_end(here)
            there.close()
            assert client._is_at_end(here)

    def test_is_seen_behind_a_high_file_descriptor(self):
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limits[1] < 4096:
            pytest.skip("the process may not have that many files")
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, limits[1]))
        here, there = socket.socketpair()
        try:
            high = socket.socket(fileno=fcntl.fcntl(here.fileno(), fcntl.F_DUPFD, 2000))
            with here, there, high:
                assert not client._is_at_end(high)
                there.close()
                assert client._is_at_end(high)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    def test_is_what_waitress_says(self, stream):
        left = threading.Event()
        context = StreamContext()
        call = stream(
            waiting(context),
            context=context,
            environ={"gunicorn.socket": None, "waitress.client_disconnected": left.is_set},
        )
        call.until(A)
        left.set()
        assert call.rest() == b""
        call.close()
        assert context.outcome is Outcome.CANCELLED


class TestNoThreadToBeHad:
    @pytest.fixture
    def exhausted(self, monkeypatch):
        def start(thread):
            if thread.name == "sluice-generator":
                raise RuntimeError("can't start new thread")
            return started(thread)

        started = threading.Thread.start
        monkeypatch.setattr(threading.Thread, "start", start)

    @pytest.fixture
    def items(self):
        class Items(list):
            is_closed = False

            def close(self):
                self.is_closed = True

        return Items([A])

    def test_ends_the_body_and_leaves_nothing_behind(self, stream, exhausted, items):
        call = stream(items)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            call.rest()
        call.close()
        assert items.is_closed

    def test_is_an_error_of_the_app_while_the_headers_wait(self, stream, exhausted, items):
        assert stream(items, hold_headers=1).status == 500
        assert items.is_closed


def test_a_forked_process_has_streams_of_its_own(server):
    """As in a server that forks its workers after it has streamed, or a view that forks while streams run."""
    context = StreamContext()
    server.app.add_url_rule("/", "parent", lambda: sse_response(waiting(context), context=context))
    server.app.add_url_rule("/child", "child", lambda: sse_response([A]))
    call = server.get()
    call.until(A)
    with open_streams.open_streams().change:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                child = server.get("/child")
                body = child.rest()
                child.close()
                status = 0 if body.endswith(A) and len(open_streams.open_streams()) == 0 else 2
            finally:
                os._exit(status)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    context.stop_generating()
    assert events_in(call.rest())[-1][0] == "error"
    call.close()


def test_one_object_is_made_for_each_process():
    made = []
    objects = PerProcess(lambda: made.append(1) or object())
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: objects(), range(50)))) == 1
    assert made == [1]


def test_a_context_can_be_waited_for_before_there_is_a_stream_and_without_gevent():
    program = """
import sys
sys.modules["gevent"] = sys.modules["greenlet"] = None
from flask_sluice import StreamContext
print(StreamContext().wait(0.01))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("False\n", "")
