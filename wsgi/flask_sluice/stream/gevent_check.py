"""Whether this process can stream: with gevent, and patched for it."""

import importlib.util
import sys
import threading

GEVENT_NEEDED = (
    "Sluice streams on gevent: pip install 'flask-sluice[gevent]', start gunicorn with `-k gevent` "
    "(worker_class = 'gevent'), and put `from gevent import monkey; monkey.patch_all()` on the first line of "
    "gunicorn.conf.py"
)


def is_patched() -> bool:
    """Whether gevent has patched this process's sockets."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and monkey.is_module_patched("socket")


def require_gevent_in_view() -> None:
    """Raise RuntimeError, saying how to start the server, where a stream would hold up all others.

    That is a thread of a server that is not patched (``flask run``, gthread, waitress), uWSGI, and any process without
    gevent. A test client in the main thread is welcome.
    """
    if is_patched():
        return
    # uWSGI's workers answer in the main thread; this module exists in no other program.
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or "uwsgi" in sys.modules or importlib.util.find_spec("gevent") is None:
        raise RuntimeError(GEVENT_NEEDED)
