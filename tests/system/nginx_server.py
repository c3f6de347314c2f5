"""Starts Debian's nginx with the configuration that is shipped, in front of a gunicorn, and ends it."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
from pathlib import Path

import pytest

from benchmarks.ports import free_port
from tests.support.certificate import make_certificates
from tests.support.server import ROOT, wait_until

_TIMEOUT_SECONDS = 30

# What a site finds around it, on Debian (/etc/nginx/nginx.conf), with the folders of this test, and with compression of
# everything, event streams too: the site has to see to itself.
_MAIN = """
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 4096; }}
http {{
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    sendfile on;
    tcp_nopush on;
    gzip on;
    gzip_types *;
    gzip_min_length 1;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/sluice.conf;
}}
"""


class Nginx:
    """deploy/nginx.conf on ports of its own, with a certificate of its own, in front of ``gunicorn``.

    gunicorn: the unix socket that it listens on, now or later
    changes: text of deploy/nginx.conf, and what this test has in its place
    edited_by: a command that an operator changes the file with; reads the one, prints the other
    """

    def __init__(
        self,
        gunicorn: Path,
        changes: dict[str, str] | None = None,
        edited_by: str = "cat",
    ) -> None:
        self.port = free_port()
        self.plain_port = free_port()
        self.monitoring_port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"https://{self.host}"
        self._gunicorn = gunicorn
        self._changes = changes or {}
        self._edited_by = edited_by
        self._folder_to_remove = tempfile.TemporaryDirectory(prefix="nginx-")
        self._folder = Path(self._folder_to_remove.name)
        self.access_log = self._folder / "access.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Nginx":
        program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            give_up = pytest.fail if "CI" in os.environ else pytest.skip
            give_up("nginx is not installed; tests/install-system-packages installs it")
        self._certificate = make_certificates(self._folder)["good"]
        # The workers of a master that is root are another user's, to whom a test's folders are closed.
        user = "user root;" if os.geteuid() == 0 else ""
        main = self._folder / "nginx.conf"
        main.write_text(_MAIN.format(user=user, folder=self._folder))
        (self._folder / "sluice.conf").write_text(self._site())
        with (self._folder / "stderr").open("wb") as stderr:
            self._process = subprocess.Popen(
                [program, "-c", main, "-p", self._folder, "-g", "daemon off;"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        try:
            wait_until(self._accepts, _TIMEOUT_SECONDS, lambda: self.log)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._folder_to_remove.cleanup()

    def _site(self) -> str:
        """The file that is shipped, with the paths and ports of this test."""
        with (ROOT / "deploy/nginx.conf").open() as shipped_file:
            site = subprocess.check_output(
                self._edited_by, shell=True, stdin=shipped_file, text=True
            )
        replaced = {
            "unix:/run/sluice/gunicorn.sock": f"unix:{self._gunicorn}",
            "listen 80;": f"listen 127.0.0.1:{self.plain_port};",
            "listen [::]:80;": "",
            "listen 443 ssl http2;": f"listen {self.host} ssl http2;",
            "listen [::]:443 ssl http2;": "",
            "listen 127.0.0.1:9180;": f"listen 127.0.0.1:{self.monitoring_port};",
            "/etc/letsencrypt/live/sluice.example.com/fullchain.pem": str(self._certificate),
            "/etc/letsencrypt/live/sluice.example.com/privkey.pem": str(self._certificate),
            "/srv/sluice/static/": f"{ROOT}/static/",
            "/var/log/nginx/sluice.log": str(self.access_log),
            **self._changes,
        }
        for shipped, ours in replaced.items():
            assert site.count(shipped) == 1, f"not once in deploy/nginx.conf: {shipped}"
            site = site.replace(shipped, ours)
        return site

    def _accepts(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"nginx ended:\n{self.log}"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def log(self) -> str:
        """What it has complained of so far."""
        files = [self._folder / "stderr", self._folder / "error.log"]
        return "".join(path.read_text() for path in files if path.exists())

    def reload(self) -> None:
        """Returns when new workers have the place of the old ones, which go on with what they have."""
        assert self._process is not None
        started = self.log.count("start worker process ")
        self._process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.log.count("start worker process ") > started)
        wait_until(lambda: "gracefully shutting down" in self.log)

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
