"""An app on two threads, nginx, and a Sluice to which nginx hands the app's readers over; nginx as the example has it."""

import os
import socket
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tests.support.server import ROOT, Server
from tests.support.stream import Connects, Response, get
from tests.system.front_proxy import FrontProxy

EXAMPLE = ROOT / "examples/hand-off"
SECRET_KEY = "a-secret-key-for-tests"
TWO_THREADS = ("-k", "gthread", "--threads", "2")


class HandOffNginx(FrontProxy):
    """The example's. app, sluice: the sockets of both servers, now or later"""

    PROGRAM = "nginx"
    SHIPPED = "examples/hand-off/nginx.conf"

    def __init__(self, app: Path, sluice: Path, changes: dict[str, str] | None = None) -> None:
        super().__init__(sluice, changes)
        self._app = app

    def _prepare(self) -> list[str | Path]:
        path = self._folder / "nginx.conf"
        path.write_text(self._configuration())
        (self._folder / "temp").mkdir()
        return ["-p", self._folder, "-c", path]

    def _paths(self) -> dict[str, str]:
        # The workers of a master that is root are another user's, to whom a test's folders are closed.
        user = "user root;" if os.geteuid() == 0 else ""
        return {
            "daemon off;": f"daemon off; {user}",
            "127.0.0.1:8000": self.host,
            "127.0.0.1:8001": f"unix:{self._app}",
            "127.0.0.1:8002": f"unix:{self._gunicorn}",
        }

    def connect(self) -> socket.socket:  # type: ignore[override]
        return socket.create_connection(("127.0.0.1", self.port), 30)


class HandOffSite:
    """app, folder: what gunicorn loads, and where; app_settings: SLUICE_ variables of the app alone;
    sluice_settings: those of Sluice; nginx_changes: see ``FrontProxy``"""

    def __init__(
        self,
        redis_url: str,
        app: str = "app:app",
        *,
        folder: Path = EXAMPLE,
        app_settings: dict[str, object] | None = None,
        nginx_changes: dict[str, str] | None = None,
        **sluice_settings: object,
    ) -> None:
        self._running = ExitStack()
        # A short path: a socket's takes 107 bytes at most.
        self._sockets = Path(
            self._running.enter_context(tempfile.TemporaryDirectory(prefix="sluice-"))
        )
        both = {"redis_url": redis_url, "secret_key": SECRET_KEY}
        self._name, self._folder = app, folder
        self._app_settings = {**both, **(app_settings or {})}
        self._sluice_settings = {**both, "trusted_proxies": "unix", **sluice_settings}
        self._nginx_changes = nginx_changes

    def __enter__(self) -> "HandOffSite":
        with self._running:
            app, sluice = self._sockets / "app.sock", self._sockets / "sluice.sock"
            self._start_app = partial(
                app_server, app, self._name, self._folder, **self._app_settings
            )
            self.app = self._running.enter_context(self._start_app())
            self.sluice = self._running.enter_context(
                Server(
                    "flask_sluice.gateway.app:create_app()",
                    # As `sluice serve` starts it.
                    configuration="python:flask_sluice.gateway.gunicorn_settings",
                    unix_socket=sluice,
                    **self._sluice_settings,
                )
            )
            self.nginx = self._running.enter_context(HandOffNginx(app, sluice, self._nginx_changes))
            self._running = self._running.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def restart_app(self) -> None:
        """End the app with all its processes, and start another at the same socket."""
        self.app.signal(15)
        self.app.wait_for_exit()
        self.app = self._running.enter_context(self._start_app())


def app_server(
    path: Path, app: str = "app:app", folder: Path = EXAMPLE, **settings: object
) -> Server:
    """The app on two threads. path: the socket where it listens; settings: its SLUICE_ variables"""
    return Server(
        app,
        configuration=os.devnull,
        arguments=(*TWO_THREADS, "--no-control-socket"),
        folder=folder,
        unix_socket=path,
        environment={"APP_SECRET_KEY": "the key of the app's sessions"},
        **settings,
    )


def ticket_target(server: Connects, path: str, **headers: str) -> str:
    """The target that the app gives nginx for a request, asked for without nginx."""
    with server.connect() as sock:
        sock.sendall(get(path, **headers))
        response = Response(sock)
        assert (response.status, response.body()) == (200, b"")
        return response.headers["x-accel-redirect"]
