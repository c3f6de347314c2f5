"""Starts Debian's nginx with the configuration that is shipped, in front of a gunicorn, and ends it."""

import os
import signal
import subprocess
from pathlib import Path

from tests.support.server import ROOT, wait_until
from tests.system.front_proxy import FrontProxy

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


class Nginx(FrontProxy):
    """deploy/nginx.conf. edited_by: a command that an operator changes the file with; reads the one, prints the other"""

    PROGRAM = "nginx"
    SHIPPED = "deploy/nginx.conf"

    def __init__(
        self,
        gunicorn: Path,
        changes: dict[str, str] | None = None,
        edited_by: str = "cat",
    ) -> None:
        super().__init__(gunicorn, changes)
        self._edited_by = edited_by
        self.access_log = self._folder / "access.log"

    def _prepare(self) -> list[str | Path]:
        # The workers of a master that is root are another user's, to whom a test's folders are closed.
        user = "user root;" if os.geteuid() == 0 else ""
        main = self._folder / "nginx.conf"
        main.write_text(_MAIN.format(user=user, folder=self._folder))
        (self._folder / "sluice.conf").write_text(self._configuration())
        return ["-c", main, "-p", self._folder, "-g", "daemon off;"]

    def _shipped(self) -> str:
        return subprocess.check_output(
            self._edited_by, shell=True, input=super()._shipped(), text=True
        )

    def _paths(self) -> dict[str, str]:
        return {
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
        }

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def workers(self) -> list[int]:
        """Return the ids of the worker processes."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def reload(self) -> None:
        """Returns when new workers have the place of the old ones, which go on with what they have."""
        assert self._process is not None
        started = self.log.count("start worker process ")
        self._process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.log.count("start worker process ") > started)
        wait_until(lambda: "gracefully shutting down" in self.log)
