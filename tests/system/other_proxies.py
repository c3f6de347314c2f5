"""HAProxy, Caddy and Apache from Debian, each with the configuration that is shipped, in front of a gunicorn."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.support.server import Server
from tests.system.front_proxy import FrontProxy


class HaProxy(FrontProxy):
    PROGRAM = "haproxy"
    SHIPPED = "deploy/haproxy.cfg"

    def _prepare(self) -> list[str | Path]:
        path = self._folder / "haproxy.cfg"
        path.write_text(self._configuration())
        return ["-db", "-f", path]

    def _paths(self) -> dict[str, str]:
        return {
            # It stays the user that runs the tests, to whom the folders of the test are open.
            "    user haproxy\n": "",
            "    group www-data\n": "",
            # An unprivileged process may not have as many files.
            "maxconn 20000": "maxconn 500",
            "log /dev/log local0": "log stdout format raw daemon",
            "bind :80,[::]:80 v6only": f"bind 127.0.0.1:{self.plain_port}",
            "bind :443,[::]:443 v6only": f"bind {self.host}",
            "/etc/haproxy/sluice.pem": str(self._certificate),
            "bind 127.0.0.1:9180": f"bind 127.0.0.1:{self.monitoring_port}",
            "unix@/run/sluice/gunicorn.sock": f"unix@{self._gunicorn}",
        }


class Caddy(FrontProxy):
    PROGRAM = "caddy"
    SHIPPED = "deploy/Caddyfile"

    def _prepare(self) -> list[str | Path]:
        path = self._folder / "Caddyfile"
        # The test's Caddies run side by side, and ask for no certificate.
        options = f"{{\n\tadmin off\n\thttp_port {self.plain_port}\n\thttps_port {self.port}\n"
        path.write_text(self._configuration().replace("\n{\n", f"\n{options}", 1))
        return ["run", "--adapter", "caddyfile", "--config", path]

    def _paths(self) -> dict[str, str]:
        return {
            "sluice.example.com {": f"https:// {{\n\tbind 127.0.0.1\n\ttls {self._certificate} {self._certificate}",
            "/var/log/caddy/sluice.log": str(self._folder / "access.log"),
            "http://127.0.0.1:9180": f"http://:{self.monitoring_port}",
            "/run/sluice/gunicorn.sock": str(self._gunicorn),
        }

    def _environment(self) -> dict[str, str]:
        return {"XDG_DATA_HOME": str(self._folder), "XDG_CONFIG_HOME": str(self._folder)}


class Apache(FrontProxy):
    PROGRAM = "apache2"
    SHIPPED = "deploy/apache.conf"
    # What Debian enables, of which a site may have use, and what the site's steps enable.
    _MODULES = (
        *("mpm_event", "authz_core", "authz_host", "alias", "deflate", "filter", "mime", "reqtimeout", "setenvif", "env", "dir"),
        *("headers", "http2", "proxy", "proxy_http", "socache_shmcb", "ssl"),
    )  # fmt: skip

    def _prepare(self) -> list[str | Path]:
        path = self._folder / "apache2.conf"
        modules = [
            f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so"
            for name in self._MODULES
        ]
        main = [
            *modules,
            f"ServerRoot {self._folder}",
            f"PidFile {self._folder}/apache2.pid",
            f"DefaultRuntimeDir {self._folder}",
            f"ErrorLog {self._folder}/error.log",
            "ServerName localhost",
            "TypesConfig /etc/mime.types",
            f"Listen 127.0.0.1:{self.plain_port}",
            f"Listen {self.host}",
            # All is compressed, event streams too: the site has to see to itself.
            "SetOutputFilter DEFLATE",
        ]
        path.write_text("\n".join(main) + "\n" + self._configuration())
        return ["-DFOREGROUND", "-f", path]

    def _paths(self) -> dict[str, str]:
        return {
            "*:80>": f"127.0.0.1:{self.plain_port}>",
            "*:443>": f"{self.host}>",
            "/etc/letsencrypt/live/sluice.example.com/fullchain.pem": str(self._certificate),
            "/etc/letsencrypt/live/sluice.example.com/privkey.pem": str(self._certificate),
            "/var/log/apache2/sluice.log": str(self._folder / "access.log"),
            "/run/sluice/gunicorn.sock": str(self._gunicorn),
            "127.0.0.1:9180": f"127.0.0.1:{self.monitoring_port}",
        }


class ProxySite:
    """A proxy and a gunicorn behind it on a unix socket. app, settings: Server's; changes: FrontProxy's"""

    def __init__(
        self,
        proxy: type[FrontProxy],
        app: str = "app:app",
        *,
        changes: dict[str, str] | None = None,
        **settings: object,
    ) -> None:
        self._running = ExitStack()
        self._proxy, self._changes = proxy, changes
        self._app, self._settings = app, settings

    def __enter__(self) -> "ProxySite":
        with self._running:
            # A short path: a socket's takes 107 bytes at most.
            folder = self._running.enter_context(tempfile.TemporaryDirectory(prefix="sluice-"))
            path = Path(folder, "gunicorn.sock")
            server = Server(self._app, unix_socket=path, trusted_proxies="unix", **self._settings)
            self.gunicorn = self._running.enter_context(server)
            self.proxy = self._running.enter_context(self._proxy(path, self._changes))
            self._running = self._running.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()
