"""Sluice's own log lines go where gunicorn's go, as JSON."""

import copy
import logging
from typing import Any

from flask_sluice.observe.json_log import LogFormatter
from flask_sluice.server.gunicorn_adapter import error_log_handlers


def log_beside_gunicorn(gunicorn_log: Any) -> None:
    """Give the logger ``sluice`` handlers that write where gunicorn's do, unless the app has configured logging.

    gunicorn's ``logconfig_dict`` could do the same, but then gunicorn also makes an access log line for each request.
    """
    log = logging.getLogger("sluice")
    if log.hasHandlers():
        return
    log.setLevel(logging.INFO)
    log.propagate = False
    for handler in error_log_handlers(gunicorn_log):
        own = (
            _CurrentStreamHandler(handler)
            if isinstance(handler, logging.StreamHandler)
            else copy.copy(handler)
        )
        own.setFormatter(LogFormatter())
        log.addHandler(own)


class _CurrentStreamHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to the stream that another handler has at the time.

    gunicorn closes its log file and opens it anew on USR1; a copy of its handler would go on with the closed file.
    """

    def __init__(self, original: "logging.StreamHandler[Any]") -> None:
        logging.Handler.__init__(self)
        self._original = original

    @property
    def stream(self) -> Any:
        return self._original.stream
