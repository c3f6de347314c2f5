"""Sluice's own log lines go where gunicorn's go, as JSON."""

import copy
import logging
from typing import Any

from gevent import monkey

from flask_sluice.observe.json_log import LogFormatter
from flask_sluice.server.gunicorn_adapter import error_log_handlers

_NAME = "sluice"


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
