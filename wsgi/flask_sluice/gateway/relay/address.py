"""Where an upstream is and the way to it: its URL, TLS, and the proxy that the environment names."""

import contextlib
import re
import socket
import ssl
import time
import urllib.request
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.connection import HTTPSConnection

from flask_sluice.gateway.environment import SettingsError
from flask_sluice.gateway.relay.dialing.dial import dial
from flask_sluice.gateway.relay.dialing.resolver import Resolver

_DEFAULT_PORTS = {"http": 80, "https": 443}
_AZURE_HOST = re.compile(
    r".*\.(((openai|cognitiveservices|services\.ai)\.azure\.(com|us|cn))|azure-api\.net)",
    re.IGNORECASE,
)


class UpstreamAddress:
    """An upstream's URL, taken apart for connecting and for requests.

    url: with its ``/v1``, as in the settings
    host: the value of the Host header
    target: what every request target begins with: the URL's path, or the whole URL for a proxy that forwards plain HTTP
        (RFC 9112, section 3.2.2)
    azure_target: what the targets of Azure's routes below /openai begin with; None if the upstream is not Azure's kind
    proxy_headers: what a proxy that forwards plain HTTP gets with every request
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        proxy = proxy_for(url)
        self.url = url
        self.host = parts.netloc.rpartition("@")[2]
        self._server = _host_and_port(url)
        self._next_hop = _host_and_port(proxy or url)
        self._resolver = Resolver(*self._next_hop)
        # All connections share one context: urllib3 would read the system's certificates for each connection, 25 ms in
        # which every other stream of the worker stands still.
        self._tls = _tls_context() if parts.scheme == "https" else None
        self._tunnel_headers = _credentials_of(proxy) if proxy and self._tls else None
        is_forwarded = proxy is not None and self._tls is None
        self.target = url if is_forwarded else parts.path
        self._origin = f"{parts.scheme}://{self.host}" if is_forwarded else ""
        is_azure = is_azure_host(parts.hostname or "") or (parts.path + "/").startswith("/openai/")
        self.azure_target = _azure_target(self.target) if is_azure or not parts.path else None
        self.proxy_headers = _credentials_of(proxy) if proxy and is_forwarded else {}

    def target_at_root(self, path: str) -> str:
        """Return the request target for a path that is not below the upstream's URL."""
        return self._origin + path

    def open_socket(self, timeout_seconds: float) -> socket.socket:
        """Return a socket that has gone the whole way: proxy, tunnel, verified TLS. Blocks.

        timeout_seconds: for the name and the connection, and for each step that follows

        Raises OSError, or urllib3's HTTPError or http.client's HTTPException.
        """
        if self._tls is None:
            return self._dial(timeout_seconds)
        host, port = self._next_hop
        connection = _DialledConnection(host, port, timeout=timeout_seconds, ssl_context=self._tls)
        connection.dial = lambda: self._dial(timeout_seconds)
        if self._tunnel_headers is not None:
            connection.set_tunnel(*self._server, headers=self._tunnel_headers)
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        # Only the socket is kept: urllib3's object would add 0.6 KiB to each stream.
        assert connection.sock is not None
        return connection.sock

    def accepts_connections(self, timeout_seconds: float) -> bool:
        """Try whether the upstream, or the proxy on the way to it, accepts a TCP connection. Blocks."""
        with contextlib.suppress(OSError), self._dial(timeout_seconds):
            return True
        return False

    def _dial(self, timeout_seconds: float) -> socket.socket:
        deadline = time.monotonic() + timeout_seconds
        addresses = self._resolver.addresses(timeout_seconds)
        return dial(addresses, max(deadline - time.monotonic(), 0))


class _DialledConnection(HTTPSConnection):
    """urllib3's connection, with a tunnel and TLS on a socket that it did not open.

    urllib3 would try one address after the other, each for the whole time, and always in the same order.
    """

    dial: Callable[[], socket.socket]

    def _new_conn(self) -> socket.socket:
        return self.dial()


def is_azure_host(host: str) -> bool:
    return _AZURE_HOST.fullmatch(host) is not None


def _azure_target(target: str) -> str:
    """Return the target that ends in /openai, whether the upstream's URL has that, /openai/v1 or neither."""
    return re.sub(r"(/openai)?(/v1)?$", "/openai", target, count=1)


def proxy_for(url: str) -> str | None:
    """Return the URL of the proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY name for ``url``, None for a direct way.

    Raises SettingsError for a proxy of a kind that cannot be used.
    """
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    proxy = urllib.request.getproxies().get(parts.scheme)
    if not proxy:
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    # With TLS to the proxy, decrypted bytes could wait in a layer that the event loop does not watch.
    if not proxy.startswith("http://"):
        kind = proxy.partition("://")[0]
        raise SettingsError(
            f"{parts.scheme}_proxy: got a proxy of the kind {kind}://, takes http://HOST:PORT"
        )
    return proxy


def _host_and_port(url: str) -> tuple[str, int]:
    parts = urllib3.util.parse_url(url)
    return (parts.host or "").strip("[]"), parts.port or _DEFAULT_PORTS[parts.scheme or "http"]


def _tls_context() -> ssl.SSLContext:
    context = urllib3.util.create_urllib3_context()
    context.load_default_certs()
    return context


def _credentials_of(proxy: str) -> dict[str, str]:
    """Return the header for the user and password in a proxy's URL, which urllib3 does not send by itself."""
    parts = urlsplit(proxy)
    if parts.username is None:
        return {}
    credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return dict(urllib3.make_headers(proxy_basic_auth=credentials))
