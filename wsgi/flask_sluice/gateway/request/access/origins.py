"""Pages of other origins are refused where no API key is asked for: any page in a user's browser could use the gateway.

CORS does not prevent that. It keeps an answer from the page, but a request that needs no preflight is sent, and answered at
the operator's expense.
"""

from typing import TYPE_CHECKING

from flask import Flask, request

from flask_sluice.gateway.request.access.auth import needs_key
from flask_sluice.gateway.request.access.handed_over import handed_reader
from flask_sluice.gateway.request.access.hosts import AllowedHosts, given_host, parse_host
from flask_sluice.gateway.settings import Settings
from flask_sluice.stream.errors import ApiError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_DEFAULT_PORTS = {"http": 80, "https": 443}


def register(app: Flask, settings: Settings) -> None:
    """Refuse what a browser says to come from another origin than those in ``SLUICE_CORS_ORIGINS``.

    Programs that are not browsers send neither ``Origin`` nor ``Sec-Fetch-Site`` and are not concerned.
    """
    listed = settings.cors_origins
    if listed == ("*",):
        return
    hosts = AllowedHosts(settings)

    @app.before_request
    def check_origin() -> None:
        environ = request.environ
        if handed_reader(environ) is not None:
            return
        origin = environ.get("HTTP_ORIGIN")
        is_foreign = _is_foreign(environ)
        if origin is None:
            if not is_foreign or _is_link(environ):
                return
        elif origin.lower() in listed or (not is_foreign and _is_own(origin, environ, hosts)):
            return
        page = "a page of another site" if origin is None else f"a page of the origin {origin!r}"
        raise ApiError(
            403,
            "origin_not_allowed",
            f"{page} may not use this server; SLUICE_CORS_ORIGINS lists the origins that may",
        )


def _is_foreign(environ: "WSGIEnvironment") -> bool:
    """Return whether the browser says that another site's page asks, or the page of another port includes this as an image."""
    site = environ.get("HTTP_SEC_FETCH_SITE", "")
    return "cross-site" in site or (
        site == "same-site" and environ.get("HTTP_SEC_FETCH_MODE") == "no-cors"
    )


def _is_link(environ: "WSGIEnvironment") -> bool:
    """Return whether the user follows a link to a page of ours. A link to the API would start work at the upstream."""
    path = environ["PATH_INFO"]
    return (
        environ["REQUEST_METHOD"] in ("GET", "HEAD")
        and environ.get("HTTP_SEC_FETCH_MODE") == "navigate"
        and not needs_key(path)
        and path != "/stream_chat"
    )


def _is_own(origin: str, environ: "WSGIEnvironment", hosts: AllowedHosts) -> bool:
    scheme, _, authority = origin.lower().partition("://")
    page = parse_host(authority)
    if page is None or scheme not in _DEFAULT_PORTS:
        return False
    if environ.get("HTTP_SEC_FETCH_SITE") == "same-origin":
        # The browser knows. A proxy may have changed the port or the name in Host.
        return hosts.include(page.name, environ)
    default = _DEFAULT_PORTS[scheme]
    texts = (given_host(environ), environ.get("sluice.forwarded_host", ""))
    # The scheme is not compared: behind a proxy that ends TLS it may be unknown, and a port has only one.
    return any(
        host is not None and (host.name, host.port or default) == (page.name, page.port or default)
        for host in map(parse_host, texts)
    )
