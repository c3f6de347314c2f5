"""How a server with threads learns that a client has left."""

import fcntl
import resource
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from flask_sluice.observe.outcome import Outcome
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.threads import client, departures
from tests.support.certificate import make_certificates
from tests.unit.wsgi_server import A, Threads

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
def kind():
    return Threads


def waiting(context):
    yield A
    context.wait(None)


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
