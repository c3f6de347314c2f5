"""What the doctor asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import SplitResult, urlsplit

from flask_sluice import __version__
from flask_sluice.doctor.helping import ASK_HEADER

USER_AGENT = f"sluice-doctor/{__version__}"
_PORTS = {"http": 80, "https": 443}


class UrlError(ValueError):
    """The URL cannot be asked for anything."""


@dataclass(frozen=True)
class HttpRequest:
    """A request. Its headers override those that the doctor sends by itself, whatever their case.

    body: None for a request without one; JSON or any other bytes otherwise
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    def with_headers(self, **headers: str | None) -> "HttpRequest":
        """Return the request with further headers: ``Last_Event_ID="3"``; None removes one."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        lower = {name.lower() for name in names}
        kept = {name: value for name, value in self.headers.items() if name.lower() not in lower}
        added = {name: value for name, value in names.items() if value is not None}
        return replace(self, headers={**kept, **added})

    @property
    def parts(self) -> SplitResult:
        return urlsplit(self.url)

    @property
    def host(self) -> str:
        return self.parts.hostname or ""

    @property
    def port(self) -> int:
        return self.parts.port or _PORTS[self.parts.scheme]

    @property
    def is_secure(self) -> bool:
        return self.parts.scheme == "https"

    @property
    def authority(self) -> str:
        """The host and port as the Host header wants them (RFC 9110, section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.parts.scheme] else f"{host}:{self.port}"

    @property
    def path(self) -> str:
        """The path with its query, as the request line wants it."""
        parts = self.parts
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def all_headers(self) -> list[tuple[str, str]]:
        """The headers in the order in which they are sent, without those that belong to one version of HTTP."""
        usual = {
            "Host": self.authority,
            "User-Agent": USER_AGENT,
            "Accept": "text/event-stream, application/json;q=0.9, */*;q=0.1",
            # Browsers and most clients offer it, so that compression on the way is seen.
            "Accept-Encoding": "gzip, deflate",
            # A server that helps reports when it saw that this reader had left.
            ASK_HEADER: "1",
        }
        if self.body is not None:
            usual["Content-Type"] = "application/json"
            usual["Content-Length"] = str(len(self.body))
        given = {name.lower() for name in self.headers}
        kept = [(name, value) for name, value in usual.items() if name.lower() not in given]
        return [*kept, *self.headers.items()]


def checked_url(url: str) -> str:
    """Return the URL, with ``http://`` if it has no scheme. Raises UrlError with what is wrong."""
    if "://" not in url:
        url = f"http://{url}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UrlError(f"{url} is not a URL: {error}") from None
    if parts.scheme not in _PORTS:
        raise UrlError(f"{url} has the scheme {parts.scheme}; the doctor speaks http and https")
    if not host:
        raise UrlError(f"{url} has no host; give one like http://127.0.0.1:8080/events")
    if port == 0 or any(ord(letter) <= 0x20 or ord(letter) == 0x7F for letter in url):
        raise UrlError(f"{url!r} has a port 0, a space or a control character")
    if parts.username is not None:
        raise UrlError("the URL has a user and password; give them as -H 'Authorization: Basic …'")
    if not url.isascii():
        raise UrlError(f"{url} has characters that are not ASCII; write them percent-encoded")
    return url.split("#", 1)[0]
