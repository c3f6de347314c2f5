"""The WSGI servers: how each is started with the app, as its documentation says."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.servers.environments import APACHE, APACHE_MODULES, Environments

APP = "tests.servers.app"
THREADS = 8
_GEVENT_SERVER = f"""
from gevent import monkey; monkey.patch_all()
import sys
from gevent.pywsgi import WSGIServer
from {APP} import app
WSGIServer(("127.0.0.1", int(sys.argv[1])), app).serve_forever()
"""


@dataclass(frozen=True)
class Start:
    """What a command line may need.

    environments: where the servers are; port: where to listen; folder: for the server's own files
    """

    environments: Environments
    port: int
    folder: Path

    @property
    def programs(self) -> Path:
        return self.environments.programs

    @property
    def bind(self) -> str:
        return f"127.0.0.1:{self.port}"


@dataclass(frozen=True)
class WsgiServer:
    """A server, with the options that decide how it streams.

    id: in the names of tests; title: in the table
    command: its command line
    answers_in_turn: whether it answers one request at a time
    """

    id: str
    title: str
    command: Callable[[Start], list[str | Path]]
    answers_in_turn: bool = False


def gunicorn(*arguments: str, module: str = APP) -> Callable[[Start], list[str | Path]]:
    return lambda start: [
        *(start.programs / "gunicorn", "--bind", start.bind, "--no-control-socket"),
        *(*arguments, f"{module}:app"),
    ]


def _waitress(*arguments: str) -> Callable[[Start], list[str | Path]]:
    return lambda start: [
        *(start.programs / "waitress-serve", f"--listen={start.bind}", f"--threads={THREADS}"),
        *(*arguments, f"{APP}:app"),
    ]


def _uwsgi(*arguments: str) -> Callable[[Start], list[str | Path]]:
    return lambda start: [
        *(start.programs / "pyuwsgi", "--http-socket", start.bind, "--die-on-term", "--master"),
        *("--virtualenv", start.programs.parent, "--module", f"{APP}:app", *arguments),
    ]


def _flask_run(*arguments: str) -> Callable[[Start], list[str | Path]]:
    return lambda start: [
        *(start.programs / "flask", "--app", APP, "run", f"--port={start.port}", *arguments),
    ]


def _gevent_pywsgi(start: Start) -> list[str | Path]:
    return [start.programs / "python", "-c", _GEVENT_SERVER, str(start.port)]


def _mod_wsgi(start: Start) -> list[str | Path]:
    """Debian's apache2 and mod_wsgi, which runs the system's Python with that Python's own packages."""
    # Apache serves no requests as root.
    user = "user=www-data group=www-data" if os.geteuid() == 0 else ""
    script, configuration = start.folder / "app.wsgi", start.folder / "apache2.conf"
    script.write_text(f"from {APP} import app as application\n")
    configuration.write_text(f"""
LoadModule mpm_event_module {APACHE_MODULES}/mod_mpm_event.so
LoadModule authz_core_module {APACHE_MODULES}/mod_authz_core.so
LoadModule wsgi_module {APACHE_MODULES}/mod_wsgi.so
ServerRoot {start.folder}
DefaultRuntimeDir {start.folder}
PidFile {start.folder}/apache2.pid
ErrorLog /dev/stderr
ServerName localhost
Listen {start.bind}
{"User www-data" if user else ""}
{"Group www-data" if user else ""}
WSGISocketPrefix {start.folder}/wsgi
WSGIDaemonProcess app processes=1 threads={THREADS} python-path={start.environments.system_packages} {user}
WSGIProcessGroup app
WSGIApplicationGroup %{{GLOBAL}}
WSGIScriptAlias / {script}
<Directory {start.folder}>
    Require all granted
</Directory>
""")
    return [APACHE, "-DFOREGROUND", "-f", configuration]


SERVERS = (
    WsgiServer(
        "sluice",
        "gunicorn, `-c python:flask_sluice.server.settings`",
        gunicorn("-c", "python:flask_sluice.server.settings"),
    ),
    WsgiServer(
        "gevent",
        "gunicorn, `-k gevent`, patched",
        gunicorn("-c", "python:tests.servers.patched", "-k", "gevent"),
    ),
    WsgiServer(
        "gevent_pywsgi",
        "gunicorn, `-k gevent_pywsgi`, patched",
        gunicorn("-c", "python:tests.servers.patched", "-k", "gevent_pywsgi"),
    ),
    WsgiServer("pywsgi", "`gevent.pywsgi`, patched", _gevent_pywsgi),
    WsgiServer(
        "uwsgi-gevent",
        "uWSGI, `gevent = 100`, `gevent-early-monkey-patch`",
        _uwsgi("--gevent", "100", "--gevent-early-monkey-patch"),
    ),
    WsgiServer(
        "gthread", "gunicorn, `-k gthread`", gunicorn("-k", "gthread", "--threads", str(THREADS))
    ),
    WsgiServer("flask-run", "`flask run`", _flask_run()),
    WsgiServer("flask-debug", "`flask run --debug`", _flask_run("--debug")),
    WsgiServer("uwsgi-threads", "uWSGI, `threads`", _uwsgi("--threads", str(THREADS))),
    WsgiServer(
        "waitress-lookahead",
        "waitress, `channel_request_lookahead=1`",
        _waitress("--channel-request-lookahead=1"),
    ),
    WsgiServer("waitress", "waitress", _waitress()),
    WsgiServer("mod_wsgi", "mod_wsgi, daemon mode", _mod_wsgi),
    WsgiServer(
        "sync", "gunicorn, `-k sync` (its default)", gunicorn("-k", "sync"), answers_in_turn=True
    ),
    WsgiServer("uwsgi", "uWSGI, one thread (its default)", _uwsgi(), answers_in_turn=True),
)
