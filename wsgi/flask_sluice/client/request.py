"""A request, and where a redirect takes it."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from urllib.parse import urljoin

from urllib3.util import Url, parse_url

from flask_sluice.client.errors import RedirectError

_PORTS = {"http": 80, "https": 443}
# Every other header may hold a secret: servers have invented too many names for keys to list those. Last-Event-ID came
# from the stream that the redirect leads to; without it, that stream would begin again.
_SENT_TO_OTHER_ORIGINS = frozenset(
    {
        *("accept", "accept-encoding", "accept-language", "cache-control", "pragma"),
        *("content-type", "content-encoding", "content-language", "user-agent", "last-event-id"),
    }
)
_CONTENT_HEADERS = frozenset({"content-type", "content-length", "content-encoding"})


@dataclass(frozen=True)
class Request:
    """A request. url: absolute, http or https; headers: with names in lower case"""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None

    def redirected(self, status: int, location: str) -> "Request":
        """Return the request that follows a redirect. To another origin it takes only headers that hold no secrets.

        Raises RedirectError for an address that is not http or https, and for one that would send credentials and
        prompts over http instead of https.
        """
        here = parse_http_url(self.url)
        try:
            there = urljoin(self.url, location)
            target = parse_http_url(there)
        except ValueError as error:
            raise RedirectError(
                f"{self.url} redirects to an address that is not HTTP: {location}"
            ) from error
        if here.scheme == "https" and target.scheme == "http":
            raise RedirectError(f"{self.url} redirects from https to http: {there}")
        request = replace(self, url=there)
        # Browsers do so (Fetch standard, "HTTP-redirect fetch"), and RFC 9110, section 15.4, allows it.
        if status == 303 or (status in (301, 302) and self.method == "POST"):
            request = replace(request, method="GET", body=None).without(_CONTENT_HEADERS)
        if _origin(here) == _origin(target):
            return request
        return request.without(request.headers.keys() - _SENT_TO_OTHER_ORIGINS)

    def without(self, names: Set[str]) -> "Request":
        """Return the request without the headers of these names."""
        return replace(
            self, headers={name: text for name, text in self.headers.items() if name not in names}
        )


def parse_http_url(text: str) -> Url:
    """Parse an absolute http or https URL. Raises ValueError for any other text, and for credentials in it."""
    url = parse_url(text)
    if url.scheme not in _PORTS or not url.host:
        raise ValueError(f"not an http or https URL: {text!r}")
    if url.auth is not None:
        raise ValueError(f"credentials belong into headers, not into the URL of {url.host}")
    return url


def port_of(url: Url) -> int:
    return url.port or _PORTS[url.scheme or ""]


def _origin(url: Url) -> tuple[str | None, str | None, int]:
    return url.scheme, url.host, port_of(url)
