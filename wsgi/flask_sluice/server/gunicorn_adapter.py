"""The private parts of gunicorn that the worker uses, each with its reason. They hold for gunicorn 20.1 to 27.

``tests/server/test_gunicorn_adapter.py`` fails when a release changes one of them. The worker and the master besides extend
gunicorn's own classes ``GeventWorker`` and ``Arbiter``, whose methods that they override are tested there, too.
"""

import io
import logging
import os
import sys
import time
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from types import FrameType
from typing import Any, Protocol

from gunicorn import util
from gunicorn.config import Config
from gunicorn.errors import AppImportError
from gunicorn.http import errors, wsgi
from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.errors import ChunkMissingTerminator, InvalidChunkSize, ParseException
from gunicorn.http.message import Message
from gunicorn.http.wsgi import FileWrapper, Response, WSGIErrorsWrapper, create
from gunicorn.workers import base
from gunicorn.workers.workertmp import WorkerTmp

from flask_sluice.observe.hidden_secrets import (
    environ_for_log,
    hide_secrets_in_query,
    hide_secrets_in_target,
)

try:
    from gunicorn.sock import ssl_context
except ImportError:  # gunicorn 20
    ssl_context = None

__all__ = [
    "FRAMING_ERRORS",
    "AppImportError",
    "FileWrapper",
    "ParseException",
    "Response",
    "create",
]
"""``create`` makes gunicorn's response and the WSGI environ of a request; gunicorn's own worker uses both."""

FRAMING_ERRORS = (ParseException, InvalidChunkSize, ChunkMissingTerminator)
"""What reading a body with broken framing raises. The last two are OSErrors up to gunicorn 23."""

_TELL_OF_REQUESTS = (
    *("accesslog", "logconfig", "logconfig_dict", "logconfig_json", "syslog", "statsd_host"),
    *("logger_class", "loglevel", "pre_request", "post_request"),
)
_EMPTY_BODY = io.BytesIO()
_WRONG_WITH_REQUEST = {
    "ChunkMissingTerminator": "a chunk of the body does not end with CRLF",
    "ExpectationFailed": "the Expect header is not 100-continue",
    "InvalidChunkSize": "a chunk of the body does not begin with its size",
    "InvalidH2CPreface": "the connection does not begin with HTTP/2's preface",
    "InvalidHTTPVersion": "the request's version is not HTTP/1.0 or HTTP/1.1",
    "InvalidHeader": "a header is not NAME: VALUE, or has a value that is not valid",
    "InvalidHeaderName": "a header's name has characters that are not valid there",
    "InvalidProxyLine": "the line of the PROXY protocol is not valid",
    "InvalidRequestLine": "the request's first line is not METHOD TARGET VERSION",
    "InvalidRequestMethod": "the request's method is not valid",
    "InvalidResponseHeader": "the application gave a header a value that is not valid",
    "NoMoreData": "the connection ended within a request",
    "ObsoleteFolding": "a header is folded over several lines",
    "UnsupportedTransferCoding": "the transfer coding is not chunked",
}


MAX_HEAD_BYTES = 32 * 1024
"""The headers of a request in all, as far as they come before the end of the head is seen."""


class Source(Protocol):
    """What a request's body can be read from."""

    def recv(self, size: int) -> bytes: ...


def read_body_from(request: Any, source: Source) -> None:
    """Have gunicorn read a request's body from ``source`` in place of the socket, so that its waits can have an end."""
    request.unreader.sock = source


def is_body_read(body: Body) -> bool:
    """Whether a body with a Content-Length has been read to its end. That is known without another read."""
    return isinstance(body.reader, LengthReader) and not body.reader.length


def has_lost_framing(body: Body) -> bool:
    """Whether it is unknown where the next request begins, since reading the body has failed.

    gunicorn says so from release 27 on. Before, a chunked body that was malformed looks like one that is over.
    """
    if hasattr(body, "failed"):
        return bool(body.failed)
    return isinstance(body.reader, ChunkedReader)


def limit_heads() -> None:
    """Have gunicorn refuse with 431 a head that has no end within 32 KiB, or within twice the largest field.

    gunicorn allows as many bytes as its limits of fields allow together, 4 MiB with the gateway's, and looks through all that
    it has at each 8 KiB that come: 100 heads of 768 KiB held up everybody for 3 s.
    """
    Message.max_buffer_headers = _HeadLimit()


class _HeadLimit:
    """The attribute of a request in which gunicorn stores what its limits of fields allow together."""

    def __get__(self, message: Any, _: object = None) -> Any:
        return self if message is None else message.__dict__["max_buffer_headers"]

    def __set__(self, message: Any, value: int) -> None:
        allowed = max(MAX_HEAD_BYTES, 2 * message.limit_request_field_size)
        message.__dict__["max_buffer_headers"] = min(value, allowed)


def forget_body(request: Any) -> None:
    """Keep gunicorn from looking for a rest of the body, which has been read."""
    request.body = _EMPTY_BODY


def has_next_request(request: Any) -> bool:
    """Whether gunicorn has bytes of a pipelined request already."""
    return bool(request.unreader.buf.tell())


def quote_nothing_of_requests() -> None:
    """Have gunicorn's errors say what is wrong with a request without what the client sent, which may hold its key.

    gunicorn logs their texts.
    """
    for name, text in _WRONG_WITH_REQUEST.items():
        error = getattr(errors, name, None)
        if error is not None:  # Some are in newer releases only.
            error.__str__ = lambda _, text=text: text


def hide_secrets_of(request: Any) -> None:
    """Hide keys in the query of a request that has failed, of which gunicorn logs the target."""
    for name, hide in (("uri", hide_secrets_in_target), ("query", hide_secrets_in_query)):
        if isinstance(getattr(request, name, None), str):
            setattr(request, name, hide(getattr(request, name)))


def log_access(
    log: Any, response: Any, request: Any, environ: dict[str, Any], started_at: datetime
) -> None:
    """Write the access log's line without keys in the query."""
    log.access(response, request, environ_for_log(environ), datetime.now() - started_at)


def replace_error_pages(write: Callable[[Any, int, str, str], None]) -> None:
    """Have gunicorn call ``write`` where it answers by itself. There is no setting for it.

    write: takes what ``gunicorn.util.write_error`` takes: the socket, the status, its reason and a message
    """
    util.write_error = write


def write_nonblock(sock: Any, data: bytes) -> None:
    """Write as gunicorn's own ``write_error`` does: as much as the socket takes at once."""
    util.write_nonblock(sock, data)


def tells_of_requests(cfg: Any) -> bool:
    """Whether an access log, statsd, a hook or gunicorn's debug log is told of each request."""
    settings = [cfg.settings[name] for name in _TELL_OF_REQUESTS if name in cfg.settings]
    return any(setting.get() != setting.default for setting in settings)


def tls_arguments(cfg: Any) -> dict[str, Any]:
    """Return the arguments that gevent's StreamServer needs for TLS; none without a certificate."""
    if not cfg.is_ssl:
        return {}
    if ssl_context is None:
        return {"server_side": True, **cfg.ssl_options}
    return {"ssl_context": ssl_context(cfg)}


def settle(cfg: Any) -> None:
    """Make the settings plain attributes, since they change no more in a worker.

    gunicorn looks up each setting in a dictionary of objects, 25 times for a request. As attributes they are found at once:
    7 % of a short answer's CPU time.
    """
    cfg.__dict__.update({name: setting.get() for name, setting in cfg.settings.items()})


def date_responses_once_a_second() -> None:
    """Have gunicorn format the Date of its responses once for each second: 4 % of a short answer's CPU time."""
    http_date_at = lru_cache(maxsize=1)(util.http_date)
    util.http_date = lambda: http_date_at(int(time.time()))


def make_error_streams_when_used() -> None:
    """Have gunicorn make ``wsgi.errors`` when an app writes to it, which is rare: 3 % of a short answer's CPU time."""
    wsgi.WSGIErrorsWrapper = _ErrorStream


class _ErrorStream:
    """``wsgi.errors``: gunicorn's own, made at its first use."""

    def __init__(self, cfg: Any) -> None:
        self._cfg = cfg

    def __getattr__(self, name: str) -> Any:
        return getattr(WSGIErrorsWrapper(self._cfg), name)


def loading_worker_class() -> Any:
    """Return the class of the worker for which gunicorn is loading the app now; None outside of gunicorn.

    gunicorn tells it to its configuration file, but an app finds it only in the frames that have called it.
    """
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        cfg = getattr(frame.f_locals.get("self"), "cfg", None)
        if isinstance(cfg, Config):
            return cfg.worker_class
        frame = frame.f_back
    return None


def why_no_streams(worker_class: Any) -> str:
    """Return one line that says why the streams of a worker class would fail, and which to use; "" if they do not."""
    # Not above: an app that is loaded without a server, as by ``flask routes``, needs no worker.
    from gunicorn.workers.ggevent import GeventWorker  # noqa: PLC0415

    if not issubclass(worker_class, GeventWorker):
        reason = "takes a thread or a process for each stream"
    elif worker_class.server_class is not None:
        # Its handler gives the app another socket than the other gevent workers, and reads from it by itself.
        reason = "does not see when a client leaves"
    else:
        return ""
    return (
        f"gunicorn's {worker_class.__name__} {reason}: remove -k and worker_class where flask_sluice.server configures "
        "gunicorn, else start it with `-k gevent`"
    )


def error_log_handlers(log: Any) -> list[logging.Handler]:
    """Return the handlers that gunicorn's own messages go to."""
    return list(log.error_log.handlers)


def log_handlers(log: Any) -> list[logging.Handler]:
    """Return the handlers of gunicorn's messages and of its access log."""
    return [*log.error_log.handlers, *log.access_log.handlers]


def show_life_in_memory() -> None:
    """Have a worker show gunicorn's master that it lives on a file in memory.

    gunicorn's own is in a temporary folder: without one, or where it takes no more files, no worker can be started.
    """
    base.WorkerTmp = _MemoryFile


class _MemoryFile(WorkerTmp):  # type: ignore[misc]
    def __init__(self, _cfg: Any) -> None:
        self._tmp = os.fdopen(os.memfd_create("gunicorn-worker"), "w+b", 0)
        self.spinner = 0  # Of gunicorn 20.
