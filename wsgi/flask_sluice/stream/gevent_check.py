"""Whether this process can stream: with gevent, and patched for it."""

import importlib.util
import sys
import threading
from collections.abc import Mapping
from typing import Any

GEVENT_NEEDED = (
    "Sluice streams on gevent: pip install 'flask-sluice[gevent]', start gunicorn with `-k gevent` "
    "(worker_class = 'gevent'), and put `from gevent import monkey; monkey.patch_all()` on the first line of "
    "gunicorn.conf.py"
)

_SERVERS_OF_ONE_THREAD = {"uwsgi", "gunicorn.workers.gtornado"}


def is_patched() -> bool:
    """Whether gevent has patched this process's sockets."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and monkey.is_module_patched("socket")


def require_gevent_in_view(environ: Mapping[str, Any]) -> None:
    """Raise RuntimeError, saying how to start the server, where a stream would hold up all others.

    That is a thread of a server that is not patched (``flask run``, gthread, waitress), a server that answers in the main
    thread (wsgiref, uWSGI, gunicorn's tornado worker), and any process without gevent. A test client in the main thread is
    welcome.

    environ: the request's WSGI environ
    """
    if is_patched():
        return
    in_main_thread = threading.current_thread() is threading.main_thread()
    # A test client names no server. Two that name none in the environ have a module that exists in no other program.
    is_server = "SERVER_SOFTWARE" in environ or sys.modules.keys() & _SERVERS_OF_ONE_THREAD
    if not in_main_thread or is_server or importlib.util.find_spec("gevent") is None:
        raise RuntimeError(GEVENT_NEEDED)
