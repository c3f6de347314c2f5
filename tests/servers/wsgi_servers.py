"""The WSGI servers: how each is started with the app, as its documentation says."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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

    programs: the folder of the environment's programs; port: where to listen; folder: for the server's own files
    """

    programs: Path
    port: int
    folder: Path

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


def _gunicorn(*arguments: str) -> Callable[[Start], list[str | Path]]:
    return lambda start: [
        *(start.programs / "gunicorn", "--bind", start.bind, "--no-control-socket"),
        *(*arguments, f"{APP}:app"),
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
    # Apache lets no request be served by root.
    user = ["--user=www-data", "--group=www-data"] if os.geteuid() == 0 else []
    return [
        *(start.programs / "mod_wsgi-express", "start-server", "--application-type=module"),
        *("--host=127.0.0.1", f"--port={start.port}", "--processes=1", f"--threads={THREADS}"),
        *(f"--server-root={start.folder}", "--log-to-terminal", "--callable-object=app", *user),
        APP,
    ]


SERVERS = (
    WsgiServer(
        "sluice",
        "gunicorn, `-c python:flask_sluice.server.settings`",
        _gunicorn("-c", "python:flask_sluice.server.settings"),
    ),
    WsgiServer(
        "gevent",
        "gunicorn, `-k gevent`, patched",
        _gunicorn("-c", "python:tests.servers.patched", "-k", "gevent"),
    ),
    WsgiServer(
        "gevent_pywsgi",
        "gunicorn, `-k gevent_pywsgi`, patched",
        _gunicorn("-c", "python:tests.servers.patched", "-k", "gevent_pywsgi"),
    ),
    WsgiServer("pywsgi", "`gevent.pywsgi`, patched", _gevent_pywsgi),
    WsgiServer(
        "uwsgi-gevent",
        "uWSGI, `gevent = 100`, `gevent-early-monkey-patch`",
        _uwsgi("--gevent", "100", "--gevent-early-monkey-patch"),
    ),
    WsgiServer(
        "gthread", "gunicorn, `-k gthread`", _gunicorn("-k", "gthread", "--threads", str(THREADS))
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
        "sync", "gunicorn, `-k sync` (its default)", _gunicorn("-k", "sync"), answers_in_turn=True
    ),
    WsgiServer(
        "uwsgi-one",
        "uWSGI, one thread, `enable-threads`",
        _uwsgi("--enable-threads"),
        answers_in_turn=True,
    ),
)
