"""Where the log lines of a process go: Sluice's own go where gunicorn's go, as JSON, and none of them blocks."""

import _socket  # What gevent does not patch: its sockets would wait.
import copy
import io
import logging
import os
import select
import socket
import stat
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from gevent import monkey

from flask_sluice.observe.json_log import LogFormatter
from flask_sluice.observe.log_stream import LogStream, Write
from flask_sluice.server.gunicorn_adapter import error_log_handlers, log_handlers

_NAME = "sluice"


class LogOutput:
    """The streams of this process that log lines go to. None of them blocks, whatever becomes of their readers.

    count_dropped: called with the number of lines that are dropped
    """

    def __init__(self, gunicorn_log: Any, count_dropped: Callable[[int], object]) -> None:
        self._count_dropped = count_dropped
        self._streams: list[LogStream] = []
        self.unblock(gunicorn_log)

    def unblock(self, gunicorn_log: Any) -> None:
        """Put streams that do not block in the place of those that lines go to now. Those that are there already stay."""
        self._streams.clear()
        outputs = [sys.stdout, sys.stderr]
        # An app that logs, or prints, to them has its lines dropped, rather than all streams stopped.
        sys.stdout, sys.stderr = unblocked = list(map(self._unblocked, outputs))
        for handler in log_handlers(gunicorn_log):
            if isinstance(handler, logging.FileHandler):
                self._unblock_file(handler)
            elif isinstance(handler, logging.StreamHandler):
                is_known = handler.stream in outputs
                handler.stream = (
                    unblocked[outputs.index(handler.stream)]
                    if is_known
                    else self._unblocked(handler.stream)
                )

    def write_waiting(self) -> bool:
        """Write what waits, as far as possible. Returns whether nothing waits any more."""
        for stream in self._streams:
            stream.write_waiting()
        return not any(stream.has_waiting for stream in self._streams)

    def _unblock_file(self, handler: logging.FileHandler) -> None:
        # It may be a pipe: /dev/stdout, for example. gunicorn opens it anew on USR1.
        open_file = type(handler)._open

        def open_unblocked() -> Any:
            return self._unblocked(open_file(handler))

        handler._open = open_unblocked  # type: ignore[method-assign]
        handler.stream = self._unblocked(handler.stream)

    def _unblocked(self, output: Any) -> Any:
        """Return a stream in the place of ``output``, or ``output`` itself if it has no file descriptor, or is one already."""
        stream: Any = getattr(output, "buffer", None)
        # Not by its class: a reload imports this package anew, and the master's streams stay.
        if not hasattr(stream, "write_waiting"):
            try:
                output.flush()
                lock = monkey.get_original("_thread", "allocate_lock")()
                stream = LogStream(output, _writer_of(output.fileno()), lock)
            except (AttributeError, OSError):
                return output  # A file in memory, or a descriptor that is closed.
            output = io.TextIOWrapper(
                cast("Any", stream),
                encoding=output.encoding,
                errors="backslashreplace",
                line_buffering=True,
            )
        stream.count_dropped = self._count_dropped
        self._streams.append(stream)
        return output


def log_beside_gunicorn(gunicorn_log: Any) -> None:
    """Have the logger ``sluice`` write where gunicorn's error log writes, unless the app has configured logging.

    gunicorn's ``logconfig_dict`` could do the same, but then gunicorn also makes an access log line for each request.
    """
    log = logging.getLogger(_NAME)
    if log.hasHandlers():
        return
    log.setLevel(logging.INFO)
    log.propagate = False
    for handler in error_log_handlers(gunicorn_log):
        ours: logging.Handler
        if isinstance(handler, logging.StreamHandler):
            ours = _BesideGunicorn(handler)
        else:
            ours = copy.copy(handler)  # It has no file, as syslog's.
        ours.setFormatter(LogFormatter())
        log.addHandler(ours)


class _BesideGunicorn(logging.Handler):
    """Writes to the stream of one of gunicorn's handlers.

    Not a copy of that handler: it would go on with a file that gunicorn has closed, when it opens its log anew on USR1.
    """

    def __init__(self, gunicorns: "logging.StreamHandler[Any]") -> None:
        super().__init__()
        self._gunicorns = gunicorns

    def createLock(self) -> None:  # noqa: N802 - logging's
        # The original lock. gevent's is Python, 1.4 us for each line, and greenlets need none: none of them gives way while
        # it writes a line.
        self.lock = monkey.get_original("_thread", "RLock")()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            stream = self._gunicorns.stream
            stream.write(self.format(record) + "\n")
            stream.flush()
        except Exception:  # noqa: BLE001 - as every handler does: logging decides what becomes of it
            self.handleError(record)


def _writer_of(fd: int) -> Write:
    """Return a function that writes to a file descriptor what can be written now. It raises OSError if that is nothing.

    O_NONBLOCK is a flag of what the descriptor stands for, which other processes share, so it cannot be set.
    """
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode):  # The journal's.
        sock = _socket.socket(fileno=os.dup(fd))
        return lambda data: sock.send(data, socket.MSG_DONTWAIT)
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        try:
            # Opened anew, it has flags of its own.
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY
            return partial(os.write, os.open(f"/proc/self/fd/{fd}", flags))
        except OSError:
            return _writer_when_ready(fd)
    return partial(os.write, fd)


def _writer_when_ready(fd: int) -> Write:
    """Return the same for a pipe that cannot be opened, because it is another user's, or because there is no /proc.

    A pipe that is ready takes as much as is written here, unless another process fills it at that very moment.
    """
    ready = monkey.get_original("select", "poll")()
    ready.register(fd, select.POLLOUT)

    def write(data: bytes) -> int:
        if not ready.poll(0):
            raise BlockingIOError
        return os.write(fd, data[: select.PIPE_BUF])

    return write
