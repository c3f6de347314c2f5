"""Streams on servers with threads, where it matters that several threads have a hand in them."""

import gc
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
from flask_sluice.stream.threads import open_streams
from tests.unit.wsgi_server import LONG_SECONDS, A, Threads

pytestmark = [pytest.mark.timeout(30), pytest.mark.usefixtures("no_thread_fails")]


@pytest.fixture
def no_thread_fails(monkeypatch):
    failures = []
    monkeypatch.setattr(threading, "excepthook", failures.append)
    yield
    assert failures == []


@pytest.fixture
def kind(no_thread_fails):
    return Threads


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

    @pytest.mark.parametrize("how", ["whole", "failed", "closed", "left", "failed late"])
    def test_of_a_stream_is_free_at_its_end(self, stream, server, without_collector, how):
        class Held:
            pass

        def generate():
            nonlocal held
            mine, held = held, None
            yield A
            if how == "failed":
                raise ApiError(503, "failed", "Only what is logged would be kept, by the log.")
            if how == "failed late":
                context.wait(None)
                raise ApiError(503, "failed", "The connection was closed by a callback.")
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
        if how not in ("closed", "failed late"):
            call.rest()
        call.close()
        body = weakref.ref(call.body)
        server.wait_until(lambda: len(open_streams.open_streams()) == 0)
        call.stop()
        server.calls.clear()
        server.app.view_functions.clear()
        del call, stream
        server.wait_until(lambda: body() is None and reference() is None)


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


class TestFlasksTestClient:
    @pytest.fixture
    def client(self):
        app = Flask(__name__)
        app.testing = True
        app.add_url_rule("/", "view", lambda: sse_response(self.generate()))
        self.seen = []
        return app.test_client()

    def generate(self):
        try:
            for number in range(3):
                self.seen.append(number)
                yield f"data: {number}\n\n"
            raise LookupError("no more")
        except GeneratorExit:
            self.seen.append("GeneratorExit")
            raise

    def test_gets_each_event_before_the_generator_goes_on(self, client):
        body = iter(client.get("/").response)
        assert (next(body), self.seen) == (b": stream\n", [])
        assert (next(body), self.seen) == (b"data: 0\n\n", [0])
        assert (next(body), self.seen) == (b"data: 1\n\n", [0, 1])
        body.close()

    def test_closes_the_generator_with_the_response(self, client):
        response = client.get("/")
        body = iter(response.response)
        next(body), next(body)
        response.close()
        assert self.seen == [0, "GeneratorExit"]

    def test_raises_what_the_generator_raises(self, client):
        with pytest.raises(LookupError, match="no more"):
            client.get("/").get_data()
        assert len(open_streams.open_streams()) == registry.admission().count == 0


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
