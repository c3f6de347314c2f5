"""gunicorn's gevent worker, with a graceful shutdown, and guarded against clients that keep it waiting."""

import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context
from datetime import datetime
from functools import partial
from typing import Any

import gevent
from gevent import socket as gevent_socket
from gevent.pool import Pool
from greenlet import getcurrent
from gunicorn.workers.ggevent import GeventWorker

from flask_sluice.observe.shared_numbers import shared_numbers
from flask_sluice.server import gunicorn_adapter
from flask_sluice.server.accepting import SharedListener
from flask_sluice.server.connections import BodySource, Connections, drain, most_connections
from flask_sluice.server.direct_writes import with_direct_writes
from flask_sluice.server.drain_time import (
    drain_delay_seconds,
    drain_seconds_of,
    seconds_from_environment,
)
from flask_sluice.server.error_answers import write_refusal
from flask_sluice.server.log_lines import LogOutput, log_beside_gunicorn
from flask_sluice.server.master import BLOCKED_SIGNALS
from flask_sluice.server.worker_board import Stage, board
from flask_sluice.stream import registry
from flask_sluice.stream.loop.give_way import give_way
from flask_sluice.stream.options import StreamOptions
from flask_sluice.stream.transport.client_socket import ClientSocket

_POLL_SECONDS = 0.1
_LOG_SECONDS = 0.01
"""Between two attempts to write the log lines that wait, which a pipe takes in pieces of 64 KiB."""
_NOTIFY_SECONDS = 1.0


class Worker(GeventWorker):  # type: ignore[misc]
    """Lets its streams go on for a while when it is to end: on SIGTERM, on a reload, at ``max_requests``.

    gunicorn's own worker goes on accepting for up to a second, then waits for all connections, idle ones too, and cuts
    what is left. This one accepts no more, closes idle connections, has new requests refused, and when the time is over
    has the streams end themselves. Before that it serves on for ``SLUICE_DRAIN_DELAY_SECONDS``.

    With a ``Master`` it is replaced on a reload and at ``max_requests``: it serves until its successors do, and then refuses
    nothing that comes on its open connections.

    gunicorn waits for a request's head for a limited time only, but for a body, and for a client that does not read, as long
    as it takes. This worker limits all of these waits.

    It reads ``SLUICE_DRAIN_SECONDS``, ``SLUICE_DRAIN_DELAY_SECONDS``, ``SLUICE_BODY_TIMEOUT_SECONDS`` and
    ``SLUICE_WRITE_TIMEOUT_SECONDS`` from the environment, and all else from gunicorn's settings.
    """

    max_requests: int
    wsgi: Any
    _connections: Connections
    _was_aborted = False

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Say in the master what would not do as it is told. gunicorn calls it at the start."""
        drain_seconds = drain_seconds_of(cfg.graceful_timeout)
        if drain_seconds < seconds_from_environment("SLUICE_DRAIN_SECONDS", drain_seconds):
            log.warning(
                "streams go on for %.0f s, not for SLUICE_DRAIN_SECONDS: graceful_timeout is %s",
                drain_seconds,
                cfg.graceful_timeout,
            )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        gunicorn_adapter.show_life_in_memory()
        super().__init__(*args, **kwargs)
        self._drain_seconds = drain_seconds_of(self.cfg.graceful_timeout)
        self._drain_delay_seconds = drain_delay_seconds()
        self._body_timeout_seconds = seconds_from_environment("SLUICE_BODY_TIMEOUT_SECONDS", 60.0)
        self._write_timeout_seconds = seconds_from_environment(
            "SLUICE_WRITE_TIMEOUT_SECONDS", StreamOptions.write_timeout_seconds
        )
        # gunicorn's own would have the worker end at once, without a successor.
        self._requests, self.max_requests = self.max_requests, sys.maxsize
        self._retires_at = self._requests
        self.row = board().add_worker()
        """What this worker tells the others and the master, which makes this object before it forks."""
        # gunicorn's own arbiter does not do so when a worker ends; and memory is shared only if it is there before the fork.
        shared_numbers().retire(self.row.number)

    def init_process(self) -> None:
        board().own_row = self.row
        self._log_output = LogOutput(self.log, self.row.count_dropped_log_lines)
        gunicorn_adapter.settle(self.cfg)
        gunicorn_adapter.date_responses_once_a_second()
        gunicorn_adapter.make_error_streams_when_used()
        gunicorn_adapter.limit_heads()
        gunicorn_adapter.quote_nothing_of_requests()
        gunicorn_adapter.replace_error_pages(write_refusal)
        self._tells_of_requests = gunicorn_adapter.tells_of_requests(self.cfg)
        super().init_process()

    def init_signals(self) -> None:
        super().init_signals()
        # Ctrl-C reaches the whole process group, and the master passes it on as SIGQUIT. A gevent worker that got both would
        # end with the traceback of the second.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED_SIGNALS)

    def handle_abort(self, sig: int, frame: Any) -> None:
        # The master has given the worker up. The SystemExit of gunicorn's handler is lost where another greenlet runs.
        self._was_aborted = True
        super().handle_abort(sig, frame)

    def load_wsgi(self) -> None:
        super().load_wsgi()
        # After the app, which may have configured logging.
        log_beside_gunicorn(self.log)
        self.wsgi = with_direct_writes(self.wsgi)

    def run(self) -> None:
        self._connections = Connections(
            most_connections(self.cfg.worker_connections),
            self.cfg.keepalive,
            self._write_timeout_seconds,
        )
        servers = [self._serve(sock) for sock in self.sockets]
        self.row.stage = Stage.SERVING
        self._wait(self._is_told_to_end)
        # gunicorn's own master gives the worker its graceful_timeout from here on, ``Master`` from the delay's end on.
        ends_at = time.monotonic() + self._drain_seconds
        is_replaced = self.row.stage == Stage.RETIRING
        if self._drain_delay_seconds and not is_replaced:
            self.row.stage = Stage.LEAVING
            self._wait(lambda: False, self._drain_delay_seconds)
            if self.row.has_successor:
                ends_at += self._drain_delay_seconds
        self.row.stage = Stage.DRAINING
        if not drain(self._connections, servers, self._wait, ends_at, is_replaced=is_replaced):
            self.log.warning("connections are cut that would not end (pid:%s)", self.pid)
        if not self._was_aborted:
            self.row.stage = Stage.ENDED

    def handle(self, listener: Any, client: gevent_socket.socket, addr: Any) -> None:
        self._connections.opened(client)
        try:
            super().handle(listener, client, addr)
        finally:
            self._connections.closed(client)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Any) -> None:
        for request in (req, getattr(exc, "req", None)):
            gunicorn_adapter.hide_secrets_of(request)
        super().handle_error(req, client, addr, exc)

    def handle_http2(
        self, listener: Any, client: gevent_socket.socket, *args: Any, **kwargs: Any
    ) -> None:
        # gunicorn reads the requests of such a connection by itself, so only its writes are limited here.
        self._connections.mark_answering(client)
        super().handle_http2(listener, client, *args, **kwargs)

    def handle_request(
        self, listener_name: Any, req: Any, sock: gevent_socket.socket, addr: Any
    ) -> None:
        """Answer a request, then read what is left of its body. Raises StopIteration to close the connection."""
        fd = sock.fileno()
        # A request does not see the context variables of the one before it on the same connection.
        getcurrent().gr_context = Context()
        self._connections.mark_answering(sock)
        body = BodySource(sock, self._connections, time.monotonic() + self._body_timeout_seconds)
        gunicorn_adapter.read_body_from(req, body)
        try:
            self._answer(listener_name, req, sock, addr)
            may_go_on = body.discard_rest(req.body)
        except StopIteration:
            body.discard_rest(req.body)
            raise
        finally:
            # Middleware that fails may leave its stream open.
            registry.disconnect_watcher().close_stream(fd)
            gunicorn_adapter.read_body_from(req, sock)
        if not may_go_on:
            raise StopIteration
        gunicorn_adapter.forget_body(req)
        self._connections.mark_idle(sock)
        if gunicorn_adapter.has_next_request(req):
            # There may be thousands of pipelined requests: others have their turn between two of them.
            give_way()

    def _answer(  # noqa: PLR0912 - the ways that gunicorn's own method has
        self, listener_name: Any, req: Any, sock: gevent_socket.socket, addr: Any
    ) -> None:
        """Do what gunicorn's own ``handle_request`` does. Raises StopIteration to close the connection.

        gunicorn keeps a request's environ to the end, for those that it tells of the request: the access log and hooks. That
        is 2 KiB of a silent stream, so here it is kept, and they are called, only if one of them is set.
        """
        started_at = datetime.now() if self._tells_of_requests else None
        response, environ = None, {}
        try:
            if started_at is not None:
                self.cfg.pre_request(self, req)
            response, environ = gunicorn_adapter.create(req, sock, addr, listener_name, self.cfg)
            environ["wsgi.multithread"] = True
            self.nr += 1
            if not (self.alive and self.cfg.keepalive):
                response.force_close()
            body = self.wsgi(environ, response.start_response)
            if started_at is None:
                environ = {}
            try:
                _write(response, body)
                if started_at is not None:
                    gunicorn_adapter.log_access(self.log, response, req, environ, started_at)
            finally:
                if hasattr(body, "close"):
                    body.close()
        except (OSError, StopIteration):
            # The client has left, as a rule, or the view has taken the connection: gunicorn closes it.
            raise
        except (SystemExit, gevent.GreenletExit):
            # A view's own. It must not end the worker, with all its other streams.
            raise StopIteration from None
        except Exception:
            if response is None or not response.headers_sent:
                raise  # gunicorn makes it a 500.
            self.log.exception("Error handling request")
            ClientSocket(sock, is_framed=True).shut_down()
            raise StopIteration from None
        finally:
            if started_at is not None:
                self._call_post_request(req, environ, response)
        if response.should_close():
            raise StopIteration

    def _call_post_request(self, req: Any, environ: dict[str, Any], response: Any) -> None:
        try:
            self.cfg.post_request(self, req, environ, response)
        except Exception:
            self.log.exception("Exception in post_request hook")

    def timeout_ctx(self) -> AbstractContextManager[None]:
        # ``Connections`` limits the waits, at 10 us less than gunicorn's timer for each request.
        return nullcontext()

    def _is_told_to_end(self) -> bool:
        if self.row.stage == Stage.SERVING and self.nr >= self._retires_at:
            self._retires_at = self.nr + self._requests
            self.log.info("Worker has served %d requests (pid: %s)", self.nr, self.pid)
            if self.row.has_successor:
                self.row.stage = Stage.RETIRING
            else:
                self.alive = False
        return not self.alive

    def _serve(self, sock: gevent_socket.socket) -> SharedListener:
        sock.setblocking(True)
        pool = Pool(self.worker_connections)
        tls = gunicorn_adapter.tls_arguments(self.cfg)
        server = SharedListener(
            sock,
            board(),
            self.row,
            self._show_load,
            handle=partial(self.handle, sock),
            spawn=pool,
            **tls,
        )
        if self.cfg.workers > 1:
            # As gunicorn does: a worker that took all connections that wait would leave nothing for the others.
            server.max_accept = 1
        server.start()
        return server

    def _show_load(self) -> None:
        """Tell the other workers how much this one has to do."""
        admission = registry.admission()
        streams = admission.place_count
        # A connection counts before its stream begins, and a stream that is kept also without a connection.
        load = max(self._connections.busy_count, streams)
        self.row.show(load, streams, admission.limit)

    def _wait(self, is_over: Callable[[], bool], seconds: float = float("inf")) -> bool:
        """Wait, and tell gunicorn meanwhile that this worker lives. Returns whether it was over in time."""
        ends_at = time.monotonic() + seconds
        notify_at = 0.0
        while not is_over():
            now = time.monotonic()
            if now >= ends_at:
                return False
            self._show_load()
            self._connections.make_room()
            if now >= notify_at:
                self.notify()
                self._connections.end_overdue()
                notify_at = now + _NOTIFY_SECONDS
            is_written = self._log_output.write_waiting()
            gevent.sleep(_POLL_SECONDS if is_written else _LOG_SECONDS)
        return True


def _write(response: Any, body: Any) -> None:
    if isinstance(body, gunicorn_adapter.FileWrapper):
        response.write_file(body)
    else:
        for chunk in body:
            response.write(chunk)
            del chunk  # Not kept while the next is waited for.
    response.close()
