"""Who a request is from, where it comes through proxies."""

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
"""A path (RFC 3986, section 3.3), and nothing that would be a host's name."""


class TrustedProxies:
    """WSGI middleware: takes the client's address, the scheme and the path's prefix from the headers of proxies.

    Only from those that are trusted: a request that comes from anybody else is left as it is, whatever its
    headers say. werkzeug's ProxyFix counts hops instead, and so believes whoever reaches the port without
    a proxy; and it leaves ``RAW_URI`` without the prefix.

    trusted: addresses, networks, and "unix" for whoever connects over a unix socket
    """

    def __init__(self, application: "WSGIApplication", trusted: tuple[str, ...]) -> None:
        self._application = application
        self._trusts_unix = UNIX in trusted
        self._networks = [ipaddress.ip_network(name) for name in trusted if name != UNIX]

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        peer = environ["REMOTE_ADDR"]
        # Behind a unix socket gunicorn has no address.
        if self._trusts(_address(peer)) if peer else self._trusts_unix:
            self._believe(environ)
        return self._application(environ, start_response)

    def _believe(self, environ: "WSGIEnvironment") -> None:
        # Each proxy appends whom it got the request from: what a client has forged comes first, and the first
        # from the end that is no proxy of ours is the client.
        for hop in reversed(environ.get("HTTP_X_FORWARDED_FOR", "").split(",")):
            address = _address(hop.strip())
            if address is None:
                break
            environ["REMOTE_ADDR"] = str(address)
            if not self._trusts(address):
                break
        scheme = _last(environ, "HTTP_X_FORWARDED_PROTO")
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme
        prefix = _last(environ, "HTTP_X_FORWARDED_PREFIX").rstrip("/")
        if _PREFIX.fullmatch(prefix):
            # The proxy has taken it off; in the URLs that we make, and in what the client asked for, it is.
            environ["SCRIPT_NAME"] = prefix
            environ["RAW_URI"] = prefix + environ["RAW_URI"]

    def _trusts(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


@lru_cache(maxsize=4096)
def client_network(address: str) -> str:
    """What counts as one client: an IPv4 address, or the network of 64 bits that an IPv6 address is from.

    Whoever has an IPv6 address has all of that network (RFC 6177): counting addresses would count nothing.
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
    # On a socket for both families IPv4 looks like ::ffff:127.0.0.1.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _last(environ: "WSGIEnvironment", key: str) -> str:
    """The nearest proxy's word, if several have had theirs."""
    return str(environ.get(key, "")).rpartition(",")[2].strip()
