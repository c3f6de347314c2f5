"""Debian's Caddy."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from tests.doctor.zoo.proxies.front import Place, front

_CONFIGURATION = """
{{
    admin off
    auto_https off
    default_bind 127.0.0.1
}}
{scheme}://:{port} {{
    {tls}
    {site}
    reverse_proxy {upstream} {{
        {proxy}
    }}
}}
"""


def caddy(
    upstream: str, site: str = "", *, proxy: str = "", certificate: Path | None = None
) -> contextlib.AbstractContextManager[str]:
    """site, proxy: directives of the site, and of its reverse_proxy. certificate: speak TLS and HTTP/2"""

    def arguments(place: Place) -> Sequence[str | Path]:
        text = _CONFIGURATION.format(
            scheme="https" if certificate else "http",
            port=place.port,
            tls=f"tls {certificate} {certificate}" if certificate else "",
            site=site,
            upstream=place.upstream_host,
            proxy=proxy,
        )
        path = place.write("Caddyfile", text)
        return ["run", "--adapter", "caddyfile", "--config", path]

    return front("caddy", arguments, upstream, certificate)
