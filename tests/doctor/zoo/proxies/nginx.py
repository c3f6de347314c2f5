"""Debian's nginx with as little configuration as it takes, and what a stack adds."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from tests.doctor.zoo.proxies.front import Place, front

_CONFIGURATION = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {http}
    server {{
        listen {listen};
        location / {{
            proxy_pass {upstream};
            {location}
        }}
    }}
}}
"""

SOUND = """
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_buffering off;
    proxy_read_timeout 330s;
"""
"""What a location of streams should have."""
HTTP_1_1 = 'proxy_http_version 1.1; proxy_set_header Connection "";'
"""The same, but buffering is left on: the origin's X-Accel-Buffering decides."""
CACHE = "proxy_cache_path {folder}/cache keys_zone=zoo:1m;"


def nginx(
    upstream: str, location: str = "", *, http: str = "", certificate: Path | None = None
) -> contextlib.AbstractContextManager[str]:
    """location, http: directives; {folder} is the proxy's own. certificate: speak TLS and HTTP/2"""

    def arguments(place: Place) -> Sequence[str | Path]:
        listen = place.listen
        if certificate:
            listen += (
                f" ssl http2; ssl_certificate {certificate}; ssl_certificate_key {certificate}"
            )
        text = _CONFIGURATION.format(
            # The workers of a master that is root are another user's, to whom a test's folders are closed.
            user="user root;" if os.geteuid() == 0 else "",
            folder=place.folder,
            listen=listen,
            upstream=upstream,
            location=location,
            http=http.replace("{folder}", str(place.folder)),
        )
        return ["-c", place.write("nginx.conf", text), "-p", place.folder, "-e", "stderr"]

    return front("nginx", arguments, upstream, certificate)
