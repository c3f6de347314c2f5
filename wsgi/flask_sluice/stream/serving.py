"""How the server of a request serves it: with gevent, with threads, or one request at a time."""

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

TEST_STREAMS = "sluice.test_streams"
"""In the WSGI environ of ``flask_sluice.testing``: a list, to which the view's stream is added."""
_SERVERS_OF_ONE_THREAD = {"uwsgi", "gunicorn.workers.gtornado"}


def is_patched() -> bool:
    """Whether gevent has patched this process's sockets."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and monkey.is_module_patched("socket")


def is_test_client(environ: Mapping[str, Any]) -> bool:
    """Whether the request comes from a test client, and from no server. environ: the request's WSGI environ"""
    return "SERVER_SOFTWARE" not in environ and not sys.modules.keys() & _SERVERS_OF_ONE_THREAD


def streams_on_gevent(environ: Mapping[str, Any]) -> bool:
    """Whether each request of the server has a greenlet, so that its streams need no threads.

    environ: the request's WSGI environ
    """
    if not is_patched():
        return False
    # gunicorn's gevent and gevent_pywsgi workers, and Werkzeug's development server. The process may be patched, but its
    # worker class is another one: of these, sync answers one request at a time.
    for name in ("gunicorn.socket", "gunicorn.sock", "werkzeug.socket"):
        if name in environ:
            is_geventlike = type(environ[name]).__module__.startswith("gevent.")
            return is_geventlike and bool(environ["wsgi.multithread"])
    if (uwsgi := sys.modules.get("uwsgi")) is not None:
        return "gevent" in uwsgi.opt
    return type(environ["wsgi.input"]).__module__ == "gevent.pywsgi"


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
