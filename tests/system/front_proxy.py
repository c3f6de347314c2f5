"""A server in front of gunicorn, started with the configuration that is shipped for it, and ended."""

import abc
import contextlib
import socket
import ssl
import subprocess
import tempfile
from pathlib import Path

from benchmarks.ports import free_port
from tests.support.certificate import make_certificates
from tests.support.program import program_path, running_program
from tests.support.server import ROOT

_TIMEOUT_SECONDS = 30


class FrontProxy(abc.ABC):
    """A file of deploy/ on ports of its own, with a certificate of its own, in front of ``gunicorn``.

    gunicorn: the unix socket that it listens on, now or later
    changes: text of the file, and what this test has in its place
    """

    PROGRAM: str
    """Debian's package has the same name."""
    SHIPPED: str
    """The path of the file."""

    def __init__(self, gunicorn: Path, changes: dict[str, str] | None = None) -> None:
        self.port = free_port()
        self.plain_port = free_port()
        self.monitoring_port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"https://{self.host}"
        self._gunicorn = gunicorn
        self._changes = changes or {}
        self._folder_to_remove = tempfile.TemporaryDirectory(prefix=f"{self.PROGRAM}-")
        self._folder = Path(self._folder_to_remove.name)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def certificate(self) -> Path:
        """The site's certificate, which is its own authority."""
        return self._certificate

    def __enter__(self) -> "FrontProxy":
        with contextlib.ExitStack() as running:
            running.callback(self._folder_to_remove.cleanup)
            self._process = running.enter_context(
                running_program(
                    self._command(),
                    port=self.port,
                    output=self._folder / "stderr",
                    environment=self._environment(),
                )
            )
            self._running = running.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def _command(self) -> list[str | Path]:
        program = program_path(self.PROGRAM)
        self._certificate = make_certificates(self._folder)["good"]
        return [program, *self._prepare()]

    @abc.abstractmethod
    def _prepare(self) -> list[str | Path]:
        """Write its files, and return the program's arguments."""

    @abc.abstractmethod
    def _paths(self) -> dict[str, str]:
        """Return what the shipped file has of its host, and this test's in its place."""

    def _environment(self) -> dict[str, str]:
        return {}

    def _shipped(self) -> str:
        return (ROOT / self.SHIPPED).read_text()

    def _configuration(self) -> str:
        """The file that is shipped, with the paths and ports of this test."""
        text = self._shipped()
        for shipped, ours in {**self._paths(), **self._changes}.items():
            assert shipped in text, f"not in {self.SHIPPED}: {shipped}"
            text = text.replace(shipped, ours)
        return text

    @property
    def log(self) -> str:
        """What it has complained of so far."""
        return self._read("stderr", "error.log")

    def logs(self) -> str:
        """All that it has written, of each request too."""
        return self._read("stderr", "error.log", "access.log")

    def _read(self, *names: str) -> str:
        files = [self._folder / name for name in names]
        return "".join(path.read_text() for path in files if path.exists())

    def connect(
        self, protocol: str = "http/1.1", receive_buffer_bytes: int | None = None
    ) -> ssl.SSLSocket:
        """protocol: as ALPN names it (RFC 7301): http/1.1 or h2"""
        context = ssl.create_default_context(cafile=self._certificate)
        context.set_alpn_protocols([protocol])
        sock = socket.socket()
        sock.settimeout(_TIMEOUT_SECONDS)
        if receive_buffer_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        sock.connect(("127.0.0.1", self.port))
        tls = context.wrap_socket(sock, server_hostname="127.0.0.1")
        assert tls.selected_alpn_protocol() == protocol
        return tls

    def connect_plain(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.plain_port), _TIMEOUT_SECONDS)

    def connect_monitoring(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.monitoring_port), _TIMEOUT_SECONDS)
