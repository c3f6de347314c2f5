"""The client of a request that comes through proxies."""

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # The standard library has these types (wsgiref.types) from Python 3.11 on.
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

UNIX = "unix"

_PREFIX = re.compile(r"(/[\w.~!$&'()*+,;=:@%-]+)+", re.ASCII)
"""A path (RFC 3986, section 3.3) whose first segment cannot be taken for a host."""

_IPV6 = r"[0-9a-f]*:[0-9a-f:.]+"
_ZONE = r"(?:%[\w.~-]+)?"
_PORT = r"(?::[0-9]{1,5})?"
_HOP = re.compile(
    rf"(?P<quote>\"?)(?:(?P<ipv4>[0-9.]+){_PORT}|\[(?P<in_brackets>{_IPV6}){_ZONE}\]{_PORT}|(?P<ipv6>{_IPV6}){_ZONE})(?P=quote)",
    re.ASCII | re.IGNORECASE,
)
"""An address as proxies write it (RFC 7239, section 6; Azure and others add the port). The zone is not part of the client."""


class TrustedProxies:
    """WSGI middleware that takes the client's address, the scheme and the path's prefix from the headers of proxies.

    It leaves a request as it is unless a trusted proxy sent it. Werkzeug's ProxyFix counts hops instead, so it would
    trust any client that reaches the port without a proxy, and it leaves ``RAW_URI`` without the prefix.

    trusted: addresses, networks, and "unix" for all connections over a unix socket
    """

    def __init__(self, application: "WSGIApplication", trusted: tuple[str, ...]) -> None:
        self._application = application
        self._trusts_unix = UNIX in trusted
        self._networks = [ipaddress.ip_network(name) for name in trusted if name != UNIX]

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        peer = environ["REMOTE_ADDR"]
        # gunicorn gives an empty address to a connection over a unix socket.
        if self._trusts(_address(peer)) if peer else self._trusts_unix:
            self._apply_headers(environ)
        return self._application(environ, start_response)

    def _apply_headers(self, environ: "WSGIEnvironment") -> None:
        # Each proxy appends the address that it got the request from. A client's forgeries come first, so the last
        # address that is not one of our proxies is the client.
        for hop in reversed(environ.get("HTTP_X_FORWARDED_FOR", "").split(",")):
            address = _address(_without_port(hop))
            if address is None:
                break
            environ["REMOTE_ADDR"] = str(address)
            if not self._trusts(address):
                break
        if host := _last(environ, "HTTP_X_FORWARDED_HOST"):
            environ["sluice.forwarded_host"] = host
        scheme = _last(environ, "HTTP_X_FORWARDED_PROTO")
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme
        prefix = _last(environ, "HTTP_X_FORWARDED_PREFIX").rstrip("/")
        if _PREFIX.fullmatch(prefix):
            # The proxy has removed the prefix; the client's URL has it, and so must the URLs that we make.
            environ["SCRIPT_NAME"] = prefix
            environ["RAW_URI"] = prefix + environ["RAW_URI"]

    def _trusts(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


@lru_cache(maxsize=4096)
def client_network(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 network of an IPv6 address.

    A client has the whole /64 network (RFC 6177) and could use a new address for each request.
    """
    parsed = _address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed or address)


@lru_cache(maxsize=4096)
def _address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # A socket for both families shows an IPv4 address as ::ffff:127.0.0.1.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _without_port(hop: str) -> str:
    """Return the address of an entry such as ``192.0.2.1:5678``, ``"[2001:db8::1]:443"`` or ``[fe80::1%eth0]``.

    Other text, such as ``unknown``, is returned as it is, and is not an address.
    """
    match = _HOP.fullmatch(hop.strip())
    return (match["ipv4"] or match["in_brackets"] or match["ipv6"]) if match else hop


def _last(environ: "WSGIEnvironment", key: str) -> str:
    """Return the value that the nearest proxy appended."""
    return str(environ.get(key, "")).rpartition(",")[2].strip()
