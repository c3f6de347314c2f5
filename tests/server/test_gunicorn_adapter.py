"""The parts of gunicorn that ours relies on and that are not documented: this fails when a release changes them."""

import inspect
import sys

import pytest
from gunicorn import util
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.http import wsgi
from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.errors import LimitRequestHeaders
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader, SocketUnreader
from gunicorn.http.wsgi import Response
from gunicorn.workers.base_async import AsyncWorker
from gunicorn.workers.ggevent import GeventWorker

from flask_sluice.server import gunicorn_adapter
from flask_sluice.server.master import Master
from flask_sluice.server.worker import Worker

POST = b"POST /path HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n"


class Socket:
    """Gives bytes, piece by piece."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    recv_size = 0

    def recv(self, size: int) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


@pytest.fixture
def cfg() -> Config:
    return Config()


def read_request(cfg: Config, *pieces: bytes) -> Request:
    return Request(cfg, SocketUnreader(Socket(*pieces)), ("127.0.0.1", 1), 1)


def parameters(function) -> list[str]:
    return list(inspect.signature(function).parameters)


def overridden(ours: type, theirs: type) -> set[str]:
    return {name for name in vars(ours) if callable(vars(ours)[name]) and hasattr(theirs, name)}


def test_each_method_that_is_overridden_is_there_with_its_parameters():
    assert overridden(Worker, GeventWorker) >= {
        *("handle", "handle_request", "init_process", "init_signals", "load_wsgi"),
        *("run", "timeout_ctx", "handle_error"),
    }
    assert overridden(Master, Arbiter) >= {
        *("manage_workers", "reap_workers", "reload", "spawn_worker"),
    }
    assert parameters(AsyncWorker.handle_request) == [
        "self",
        "listener_name",
        "req",
        "sock",
        "addr",
    ]
    assert parameters(AsyncWorker.handle_error) == ["self", "req", "client", "addr", "exc"]
    assert parameters(AsyncWorker.handle) == ["self", "listener", "client", "addr"]


def test_the_arbiter_has_what_the_master_uses():
    assert Arbiter.WORKERS == {}
    assert isinstance(Arbiter.num_workers, property)
    assert "nworkers_changed" in inspect.getsource(Arbiter._set_num_workers)
    for name in ("kill_worker", "murder_workers", "spawn_workers"):
        assert callable(getattr(Arbiter, name))


def test_num_workers_is_set_after_the_worker_class_and_before_the_app_is_loaded():
    setup = inspect.getsource(Arbiter.setup)
    assert (
        setup.index("self.worker_class =")
        < setup.index("self.num_workers =")
        < setup.index("self.app.wsgi()")
    )


def test_the_arbiters_class_has_no_setting():
    # When it has one, ``configure`` should use that.
    assert "Arbiter(self).run()" in inspect.getsource(BaseApplication.run)


def test_a_body_is_read_from_the_source(cfg):
    request = read_request(cfg, POST)
    gunicorn_adapter.read_body_from(request, Socket(b"abc"))
    assert not gunicorn_adapter.is_body_read(request.body)
    assert request.body.read() == b"abc"
    assert gunicorn_adapter.is_body_read(request.body)
    assert not gunicorn_adapter.has_lost_framing(request.body)


def test_a_next_request_that_has_come_is_known(cfg):
    assert gunicorn_adapter.has_next_request(read_request(cfg, POST + b"abc"))
    assert not gunicorn_adapter.has_next_request(read_request(cfg, POST))


def test_a_chunked_body_that_is_malformed_has_lost_its_framing():
    body = Body(ChunkedReader(None, IterUnreader([b"zz\r\nab"])))
    with pytest.raises((gunicorn_adapter.ParseException, OSError)):
        body.read()
    assert gunicorn_adapter.has_lost_framing(body)


def test_a_body_with_a_length_has_not_lost_its_framing():
    body = Body(LengthReader(IterUnreader([b"abc"]), 3))
    assert not gunicorn_adapter.has_lost_framing(body)
    assert body.read() == b"abc"
    assert gunicorn_adapter.is_body_read(body)


def test_a_body_that_is_forgotten_is_empty(cfg):
    request = read_request(cfg, POST + b"abc")
    gunicorn_adapter.forget_body(request)
    assert request.body.read() == b""


def test_create_makes_a_response_and_an_environ(cfg):
    request = read_request(cfg, POST + b"abc")
    request.proxy_protocol_info = {}
    response, environ = gunicorn_adapter.create(
        request, sock := Socket(), ("127.0.0.1", 1), ("127.0.0.1", 2), cfg
    )
    assert type(response) is Response
    assert environ["gunicorn.socket"] is sock
    assert environ["wsgi.file_wrapper"] is gunicorn_adapter.FileWrapper
    assert environ["PATH_INFO"] == "/path"
    response.start_response("200 OK", [("Content-Length", "0")])
    assert (response.headers_sent, response.should_close()) == (False, False)


def test_error_pages_are_looked_up_at_each_call(monkeypatch):
    monkeypatch.setattr(util, "write_error", util.write_error)
    assert "util.write_error(client, status_int, reason, mesg)" in inspect.getsource(
        GeventWorker.handle_error
    )
    gunicorn_adapter.replace_error_pages(lambda *_: None)
    assert util.write_error("client", 400, "reason", "message") is None


def test_the_date_is_that_of_the_second(monkeypatch):
    monkeypatch.setattr(util, "http_date", util.http_date)
    gunicorn_adapter.date_responses_once_a_second()
    assert util.http_date().endswith(" GMT")
    assert "util.http_date()" in inspect.getsource(Response.default_headers)


def test_the_error_stream_is_gunicorns_once_it_is_used(monkeypatch, capsys, cfg):
    monkeypatch.setattr(wsgi, "WSGIErrorsWrapper", wsgi.WSGIErrorsWrapper)
    gunicorn_adapter.make_error_streams_when_used()
    assert "WSGIErrorsWrapper(" in inspect.getsource(wsgi)
    stream = wsgi.WSGIErrorsWrapper(cfg)
    stream.write("something is wrong\n")
    stream.flush()
    assert capsys.readouterr().err == "something is wrong\n"


def test_settings_become_attributes(cfg):
    cfg.set("keepalive", 7)
    gunicorn_adapter.settle(cfg)
    assert vars(cfg)["keepalive"] == cfg.keepalive == 7
    assert cfg.worker_class_str == "sync"  # A property, which stays one.


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accesslog", "-"),
        ("statsd_host", "localhost:8125"),
        ("syslog", True),
        ("post_request", lambda worker, req, environ, resp: None),
    ],
)
def test_whoever_is_told_of_requests_keeps_their_environ(cfg, name, value):
    assert not gunicorn_adapter.tells_of_requests(cfg)
    cfg.set(name, value)
    assert gunicorn_adapter.tells_of_requests(cfg)


def test_without_an_access_log_gunicorn_looks_at_no_environ(cfg):
    Logger(cfg).access(None, None, None, None)


def test_the_error_log_has_a_handler_with_a_stream(cfg):
    handlers = gunicorn_adapter.error_log_handlers(Logger(cfg))
    assert any(handler.stream is sys.stderr for handler in handlers)


def test_there_are_no_arguments_for_tls_without_a_certificate(cfg):
    assert gunicorn_adapter.tls_arguments(cfg) == {}


def test_a_head_without_an_end_is_refused_before_its_parser_has_much_to_look_through(cfg):
    gunicorn_adapter.limit_heads()
    field = b"X: " + b"y" * 4000 + b"\r\n"
    sock = Socket(b"GET / HTTP/1.1\r\n", *[field] * 100)
    with pytest.raises(LimitRequestHeaders):
        Request(cfg, SocketUnreader(sock), ("127.0.0.1", 1), 1)
    assert len(sock._pieces) > 90


def test_two_fields_of_the_largest_size_fit_into_a_head(cfg):
    gunicorn_adapter.limit_heads()
    cfg.set("limit_request_field_size", 100_000)
    field = b"X: " + b"y" * 90_000 + b"\r\n"
    request = read_request(cfg, b"GET / HTTP/1.1\r\n", field, field, b"\r\n")
    assert len(request.headers) == 2
