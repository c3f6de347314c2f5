"""The objects that all streams of a worker process share: one each, made when the first stream needs it."""

import sys
import threading
from functools import cache

from gevent import monkey
from gunicorn.errors import AppImportError

from wsgi.stream.disconnect import DisconnectWatcher
from wsgi.stream.helpers import Helpers
from wsgi.stream.inflight import Inflight
from wsgi.stream.tally import Tally
from wsgi.stream.ticker import Ticker

WORKER_CLASS_NEEDED = (
    "Sluice streams on gevent: start gunicorn with `-k gevent` (worker_class = 'gevent'), and with "
    "`from gevent import monkey; monkey.patch_all()` as the first line of gunicorn.conf.py"
)


@cache
def ticker() -> Ticker:
    return Ticker(tally().loop_lags.add)


@cache
def disconnects() -> DisconnectWatcher:
    return DisconnectWatcher()


@cache
def helpers() -> Helpers:
    return Helpers()


@cache
def inflight() -> Inflight:
    return Inflight()


@cache
def tally() -> Tally:
    return Tally()


def require_gevent() -> None:
    """Raises AppImportError, saying which worker class to use, if this process is not patched for gevent.

    On another worker a stream would hold the whole worker, and its timers and its client's leaving
    would go unseen. gunicorn prints this exception as one line and does not try again.
    """
    if not monkey.is_module_patched("socket"):
        raise AppImportError(WORKER_CLASS_NEEDED)


def require_gevent_in_threads() -> None:
    """Raises RuntimeError in a server that is not patched: in a thread, as of ``flask run``, or under uWSGI.

    A test client in the main thread is welcome.
    """
    # uWSGI's workers answer in the main thread; this module is there in no other program. Without gevent a stream's
    # events would all come at its end.
    if not monkey.is_module_patched("socket") and (
        threading.current_thread() is not threading.main_thread() or "uwsgi" in sys.modules
    ):
        raise RuntimeError(WORKER_CLASS_NEEDED)
