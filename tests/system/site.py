"""A whole site: nginx with the configuration that is shipped, and a gunicorn behind it on a unix socket."""

import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.support.http2 import Http2Connection, Http2Response
from tests.support.server import Server
from tests.support.stream import Response, get, post
from tests.system.nginx_server import Nginx


class Site:
    """app, settings: Server's; changes, edited_by: Nginx's"""

    def __init__(
        self,
        app: str = "app:app",
        *,
        changes: dict[str, str] | None = None,
        edited_by: str = "cat",
        **settings: object,
    ) -> None:
        self._running = ExitStack()
        # A short path: a socket's takes 107 bytes at most.
        folder = self._running.enter_context(tempfile.TemporaryDirectory(prefix="sluice-"))
        self._socket = Path(folder, "gunicorn.sock")
        self._app, self._settings = app, settings
        self._changes, self._edited_by = changes, edited_by

    def __enter__(self) -> "Site":
        with self._running:
            self.gunicorn = self._running.enter_context(
                Server(
                    self._app, unix_socket=self._socket, trusted_proxies="unix", **self._settings
                )
            )
            self.nginx = self._running.enter_context(
                Nginx(self._socket, self._changes, self._edited_by)
            )
            self._running = self._running.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()


class Client:
    """Asks an nginx in one protocol, which is ALPN's name of it: http/1.1, with a connection for each request, or h2."""

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def get(self, nginx: Nginx, path: str, **headers: str) -> Response | Http2Response:
        """Headers are named as in Python, with an underscore for the hyphen."""
        sock = self._connect(nginx)
        if self.protocol == "h2":
            named = [(name.lower().replace("_", "-"), value) for name, value in headers.items()]
            return Http2Connection(sock).get(path, named)
        sock.sendall(get(path, **headers))
        return Response(sock)

    def post(self, nginx: Nginx, path: str, body: object) -> Response | Http2Response:
        sock = self._connect(nginx)
        if self.protocol == "h2":
            return Http2Connection(sock).post(path, body)
        sock.sendall(post(path, body))
        return Response(sock)

    def leave(self) -> None:
        """Closes its connections."""
        while self._sockets:
            self._sockets.pop().close()

    def _connect(self, nginx: Nginx) -> socket.socket:
        self._sockets.append(nginx.connect(self.protocol))
        return self._sockets[-1]
