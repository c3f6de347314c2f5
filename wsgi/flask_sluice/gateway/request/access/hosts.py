"""The Host header: a request has to have a valid one, and may have to name this server (``SLUICE_ALLOWED_HOSTS``).

A page whose own name is made to resolve to this server ("DNS rebinding") is of the same origin for its browser. Only the name
in ``Host`` gives it away.
"""

import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from flask import Flask, request

from flask_sluice.gateway.request.access.handed_over import handed_reader
from flask_sluice.gateway.settings import Settings
from flask_sluice.stream.errors import ApiError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

ANY = "*"

# RFC 3986, section 3.2.2, without the comma: servers join two Host lines with one.
_HOST = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[\w.~!$&'()*+;=%-]+))(?::(?P<port>[0-9]{0,5}))?",
    re.ASCII,
)


class Host(NamedTuple):
    """A name or an address in lower case, without brackets and the final dot; port: None if it is not given."""

    name: str
    port: int | None


def register(app: Flask, settings: Settings) -> None:
    """Refuse requests without a valid Host, and, as ``AllowedHosts`` says, those for another server."""
    allowed = AllowedHosts(settings) if settings.allowed_hosts or not settings.api_keys else None

    @app.before_request
    def check_host() -> None:
        environ = request.environ
        text = given_host(environ)
        host = parse_host(text)
        if host is None:
            if text or environ["SERVER_PROTOCOL"] != "HTTP/1.0":
                # RFC 9112, section 3.2. The name itself may be empty in a URI, but not in an http URL.
                raise ApiError(
                    400, "invalid_request", "an HTTP/1.1 request needs one valid Host header"
                )
            return
        if allowed is not None and handed_reader(environ) is None:
            allowed.check(host, environ)
            if forwarded := environ.get("sluice.forwarded_host"):
                allowed.check(parse_host(forwarded) or Host(forwarded, None), environ)


class AllowedHosts:
    """The names by which clients may ask for this server: loopback's, the address where it listens, and those in the setting.

    At a wildcard address (0.0.0.0) every IP address is the server's: a page that rebinds a name never sends an address.
    """

    def __init__(self, settings: Settings) -> None:
        self._allows_any = settings.allowed_hosts == (ANY,)
        self._names = set(settings.allowed_hosts)
        if bound := parse_host(settings.bind):
            self._names.add(bound.name)

    def check(self, host: Host, environ: "WSGIEnvironment") -> None:
        """Raise ApiError 400 if the name is another server's."""
        if not self.include(host.name, environ):
            raise ApiError(
                400,
                "host_not_allowed",
                f"this server does not answer to the name {host.name!r} in Host; "
                "SLUICE_ALLOWED_HOSTS sets the names that it answers to",
            )

    def include(self, name: str, environ: "WSGIEnvironment") -> bool:
        return (
            self._allows_any
            or name in self._names
            or _is_loopback(name)
            # The server's own address as gunicorn and others know it, whatever SLUICE_BIND says.
            or _is_bound(name, environ.get("SERVER_NAME", ""))
        )


def given_host(environ: "WSGIEnvironment") -> str:
    """Return the host that the request is for, "" if it names none.

    A target in absolute form counts instead of the header (RFC 9112, section 3.2.2).
    """
    host: str = environ.get("HTTP_HOST", "")
    target: str = environ.get("RAW_URI", "/")
    if host and "://" in target and not target.startswith("/"):
        return urlsplit(target).netloc.rpartition("@")[2]
    return host


@lru_cache(maxsize=1024)
def parse_host(text: str) -> Host | None:
    """Return the host and port of a Host header or of an origin, None if it is malformed."""
    match = _HOST.fullmatch(text)
    if match is None:
        return None
    port = int(match["port"]) if match["port"] else None
    if port is not None and port > 65535:
        return None
    if match["ipv6"] is None:
        name = match["name"].lower().removesuffix(".")
        return Host(name, port) if name else None
    address = _address(match["ipv6"])
    return None if address is None else Host(str(address), port)


@lru_cache(maxsize=1024)
def _is_loopback(name: str) -> bool:
    address = _address(name)
    if address is not None:
        return address.is_loopback
    # RFC 6761, section 6.3: such names are this host's, and no resolver asks others about them.
    return name == "localhost" or name.endswith(".localhost")


@lru_cache(maxsize=1024)
def _is_bound(name: str, server_name: str) -> bool:
    # Behind a unix socket gunicorn takes SERVER_NAME from the Host header, so a name that is equal says nothing.
    address, bound = _address(name), _address(server_name)
    return address is not None and bound is not None and (address == bound or bound.is_unspecified)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
