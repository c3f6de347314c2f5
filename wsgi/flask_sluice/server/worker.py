"""gunicorn's gevent worker, with an end in good order, and guarded against clients that keep it waiting."""

import io
import mmap
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache, partial
from typing import Any

import gevent
from gevent import socket as gevent_socket
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn import util
from gunicorn.http import wsgi as gunicorn_wsgi
from gunicorn.http.wsgi import FileWrapper, WSGIErrorsWrapper, create
from gunicorn.sock import ssl_context
from gunicorn.workers.ggevent import GeventWorker

from flask_sluice.server.connections import BodySource, Connections, stop_reading
from flask_sluice.server.error_answers import write_refusal
from flask_sluice.server.master import ENDING_SIGNALS, Stage
from flask_sluice.stream import registry
from flask_sluice.stream.loop.give_way import give_way
from flask_sluice.stream.transport.client_socket import ClientSocket

_POLL_SECONDS = 0.1
_NOTIFY_SECONDS = 1.0
_FIRST_REQUEST_SECONDS = 1.0
"""For those that have connected before the worker was told to end: their request is on its way."""
_END_SECONDS = 10.0
"""For the streams that are told to end: for reading their last event, too."""
_TOLD_OF_REQUESTS = (
    *("accesslog", "logconfig", "logconfig_dict", "logconfig_json", "syslog", "statsd_host"),
    *("logger_class", "pre_request", "post_request"),
)
"""The settings by which somebody is told of each request."""
_NOTHING = io.BytesIO()


class Worker(GeventWorker):  # type: ignore[misc]
    """Drains: when it is to end (SIGTERM, a reload, ``max_requests``), its streams go on for a while. At ``max_requests``
    it waits for its successor, which ``Master`` brings on; gunicorn's own would not.

    gunicorn's own goes on accepting for up to a second, then waits for all connections, idle ones too, and
    cuts what is left. This one accepts no more, closes idle connections, has new requests refused,
    and when the time is over has the streams end themselves.

    Of gunicorn's waits for a client only that for a request's head has an end. Here all have.

    drain_seconds: how long streams may go on
    body_timeout_seconds: how long a client may take to send a request's body
    write_timeout_seconds, room_at: see ``Connections``
    """

    drain_seconds = 120.0
    body_timeout_seconds = 60.0
    write_timeout_seconds = 30.0
    room_at = 9500
    max_requests: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connections = Connections(
            self.room_at, self.cfg.keepalive, self.write_timeout_seconds
        )
        # gunicorn's own has a worker end at once, without a successor.
        self._requests, self.max_requests = self.max_requests, sys.maxsize
        self._retires_at = self._requests
        self._stage = mmap.mmap(-1, 1)

    @property
    def stage(self) -> Stage:
        """In memory that the master, which forks, has in common with the worker."""
        return Stage(self._stage[0])

    @stage.setter
    def stage(self, stage: Stage) -> None:
        self._stage[0] = stage

    def init_process(self) -> None:
        self._make_requests_cheaper()
        util.write_error = write_refusal
        settings = [self.cfg.settings[name] for name in _TOLD_OF_REQUESTS]
        self._tells_nobody = all(setting.get() == setting.default for setting in settings)
        super().init_process()

    def init_signals(self) -> None:
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)

    def run(self) -> None:
        servers = [self._serve(sock) for sock in self.sockets]
        self.stage = Stage.SERVING
        self._wait(self._is_told_to_end)
        self.stage = Stage.DRAINING
        told_at = time.monotonic()
        for server in servers:
            server.close()
        give_way()  # Those that have just been accepted are known then.
        self._wait(lambda: not self._connections.have_new, _FIRST_REQUEST_SECONDS)
        registry.admission().drain()
        self._connections.end_idle()

        def are_all_gone() -> bool:
            # A stream that is kept goes on without a connection.
            return not (registry.admission().count or any(server.pool for server in servers))

        if not self._wait(are_all_gone, told_at + self.drain_seconds - time.monotonic()):
            registry.admission().end_streams()
            if not self._wait(are_all_gone, _END_SECONDS):
                self.log.warning("connections are cut that would not end (pid:%s)", self.pid)

    def handle(self, listener: Any, client: gevent_socket.socket, addr: Any) -> None:
        self._connections.opened(client)
        try:
            super().handle(listener, client, addr)
        finally:
            self._connections.closed(client)

    def handle_request(
        self, listener_name: Any, req: Any, sock: gevent_socket.socket, addr: Any
    ) -> None:
        fd = sock.fileno()
        self._connections.has_request(sock)
        body = BodySource(sock, self._connections, time.monotonic() + self.body_timeout_seconds)
        req.unreader.sock = body
        try:
            if self._tells_nobody:
                self._answer(listener_name, req, sock, addr)
            else:
                super().handle_request(listener_name, req, sock, addr)
            may_go_on = body.discard_rest(req.body)
        except StopIteration:
            body.discard_rest(req.body)
            raise
        finally:
            # Middleware that fails, or forgets it, does not close it.
            registry.disconnect_watcher().close_stream(fd)
            req.unreader.sock = sock
        if not may_go_on:
            raise StopIteration
        req.body = _NOTHING  # gunicorn would look for a rest of it once more.
        self._connections.is_idle(sock)
        if not self.alive:
            stop_reading(sock)
        if req.unreader.buf.tell():
            # The next request is there already, perhaps thousands are: others have their turn between.
            give_way()

    def _answer(self, listener_name: Any, req: Any, sock: gevent_socket.socket, addr: Any) -> None:
        """What gunicorn does, less what it needs for those that it tells of a request: 15 us of a short answer, and
        2 KiB of a silent stream. Raises StopIteration when the connection is to be closed."""
        response, environ = create(req, sock, addr, listener_name, self.cfg)
        environ["wsgi.multithread"] = True
        self.nr += 1
        if not (self.alive and self.cfg.keepalive):
            response.force_close()
        try:
            body = self.wsgi(environ, response.start_response)
            del environ  # The 2 KiB.
            try:
                if isinstance(body, FileWrapper):
                    response.write_file(body)
                else:
                    for chunk in body:
                        response.write(chunk)
                        del chunk  # Not kept while the next is waited for.
                response.close()
            finally:
                if hasattr(body, "close"):
                    body.close()
        except OSError:
            raise  # The client has left, as a rule: gunicorn knows.
        except SystemExit:
            # A view's own: it is not to end the worker, with all its other streams.
            raise StopIteration from None
        except Exception:
            if not response.headers_sent:
                raise  # gunicorn makes it a 500.
            self.log.exception("Error handling request")
            ClientSocket(sock, is_framed=True).shut_down()
            raise StopIteration from None
        if response.should_close():
            raise StopIteration

    def timeout_ctx(self) -> AbstractContextManager[None]:
        # ``Connections`` looks after that: 10 us less than a timer for each request.
        return nullcontext()

    def _make_requests_cheaper(self) -> None:
        """Does once what gunicorn does for each."""
        # It looks its settings up in a dictionary of objects, some 25 times. As the configuration's own attributes
        # they are found at once: 20 us less.
        self.cfg.__dict__.update({name: each.get() for name, each in self.cfg.settings.items()})
        # It writes the date, and looks for the files of its log: 3.4 % of a short answer's instructions.
        http_date_at = lru_cache(maxsize=1)(util.http_date)
        util.http_date = lambda: http_date_at(int(time.time()))
        gunicorn_wsgi.WSGIErrorsWrapper = _Errors

    def _is_told_to_end(self) -> bool:
        if self.stage == Stage.SERVING and self.nr >= self._retires_at:
            self._retires_at = self.nr + self._requests
            self.log.info("Worker has served %d requests (pid: %s)", self.nr, self.pid)
            self.stage = Stage.RETIRING
        return not self.alive

    def _serve(self, sock: gevent_socket.socket) -> StreamServer:
        sock.setblocking(True)
        tls = {"ssl_context": ssl_context(self.cfg)} if self.cfg.is_ssl else {}
        pool = Pool(self.worker_connections)
        server = StreamServer(sock, handle=partial(self.handle, sock), spawn=pool, **tls)
        if self.cfg.workers > 1:
            # As gunicorn does: one that took all that wait would leave nothing for the others.
            server.max_accept = 1
        server.start()
        return server

    def _wait(self, is_over: Callable[[], bool], seconds: float = float("inf")) -> bool:
        """Whether it was over in time. Tells gunicorn meanwhile that this worker lives."""
        ends_at = time.monotonic() + seconds
        notify_at = 0.0
        while not is_over():
            now = time.monotonic()
            if now >= ends_at:
                return False
            if now >= notify_at:
                self.notify()
                self._connections.look()
                notify_at = now + _NOTIFY_SECONDS
            gevent.sleep(_POLL_SECONDS)
        return True


class _Errors:
    """``wsgi.errors``: gunicorn's own, made when it is written to, which is hardly ever."""

    def __init__(self, cfg: Any) -> None:
        self._cfg = cfg

    def __getattr__(self, name: str) -> Any:
        return getattr(WSGIErrorsWrapper(self._cfg), name)
