"""Sluice's own log lines go where gunicorn's go, as JSON."""

import logging
from typing import Any

from flask_sluice.observe.json_log import LogFormatter
from flask_sluice.server.gunicorn_adapter import error_log_handlers

_NAME = "sluice"


def log_beside_gunicorn(gunicorn_log: Any) -> None:
    """Give the logger ``sluice`` the handlers of gunicorn's error log, unless the app has configured logging.

    The handlers themselves, since a copy would go on with a file that gunicorn has closed, when it opens its log anew on
    USR1. gunicorn's ``logconfig_dict`` could do the same, but then gunicorn also makes an access log line for each request.
    """
    log = logging.getLogger(_NAME)
    if log.hasHandlers():
        return
    log.setLevel(logging.INFO)
    log.propagate = False
    for handler in error_log_handlers(gunicorn_log):
        handler.setFormatter(_JsonForOurs(handler.formatter or logging.Formatter()))
        log.addHandler(handler)


class _JsonForOurs(logging.Formatter):
    """Formats Sluice's records as JSON, and all others as another formatter does."""

    def __init__(self, others: logging.Formatter) -> None:
        super().__init__()
        self._others = others
        self._json = LogFormatter()

    def format(self, record: logging.LogRecord) -> str:
        is_ours = record.name.partition(".")[0] == _NAME
        return (self._json if is_ours else self._others).format(record)
