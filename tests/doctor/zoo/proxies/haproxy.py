"""Debian's HAProxy."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from tests.doctor.zoo.proxies.front import Place, front

_CONFIGURATION = """
global
    maxconn 500
defaults
    mode http
    timeout connect 5s
    timeout client 330s
    {timeout}
    {defaults}
frontend zoo
    bind {bind}
    default_backend origin
backend origin
    server origin {upstream}
"""


def haproxy(
    upstream: str,
    defaults: str = "option http-no-delay",
    *,
    server_timeout: str = "330s",
    certificate: Path | None = None,
) -> contextlib.AbstractContextManager[str]:
    """defaults: lines of the section of this name. certificate: speak TLS and HTTP/2"""

    def arguments(place: Place) -> Sequence[str | Path]:
        tls = f" ssl crt {certificate} alpn h2,http/1.1" if certificate else ""
        text = _CONFIGURATION.format(
            timeout=f"timeout server {server_timeout}",
            defaults=defaults,
            bind=place.listen + tls,
            upstream=place.upstream_host,
        )
        return ["-db", "-f", place.write("haproxy.cfg", text)]

    return front("haproxy", arguments, upstream, certificate)
