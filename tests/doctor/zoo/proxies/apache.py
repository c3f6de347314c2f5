"""Debian's Apache with mod_proxy_http."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from tests.doctor.zoo.proxies.front import Place, front

_MODULES = (
    *("mpm_event", "authz_core", "filter", "deflate", "buffer", "env", "setenvif", "headers"),
    *("http2", "proxy", "proxy_http", "socache_shmcb", "ssl"),
)


def apache(
    upstream: str, directives: str = "", *, parameters: str = "", certificate: Path | None = None
) -> contextlib.AbstractContextManager[str]:
    """directives: for the whole server; parameters: of ProxyPass. certificate: speak TLS and HTTP/2"""

    def arguments(place: Place) -> Sequence[str | Path]:
        modules = (
            f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in _MODULES
        )
        lines = [
            *modules,
            f"ServerRoot {place.folder}",
            f"DefaultRuntimeDir {place.folder}",
            f"PidFile {place.folder}/apache2.pid",
            "ErrorLog /dev/stderr",
            "ServerName localhost",
            f"Listen {place.listen}",
            "StartServers 1",
            "SSLEngine on" if certificate else "",
            f"SSLCertificateFile {certificate}" if certificate else "",
            "Protocols h2 http/1.1" if certificate else "",
            f"ProxyPass / {upstream}/ {parameters}",
            directives,
        ]
        return ["-DFOREGROUND", "-f", place.write("apache2.conf", "\n".join(lines) + "\n")]

    return front("apache2", arguments, upstream, certificate)
