"""Which headers of a request are passed up to an upstream, and in which of them its key goes."""

import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask_sluice.gateway.relay.address import is_azure_host
from flask_sluice.gateway.setting_values import NEVER_PASSED_UP
from flask_sluice.gateway.settings import Settings

if TYPE_CHECKING:
    # The standard library has these types (wsgiref.types) from Python 3.11 on.
    from _typeshed.wsgi import WSGIEnvironment

_KEY_HEADERS = frozenset({"authorization", "api-key", "x-api-key", "x-goog-api-key"})
"""Where clients send their keys: OpenAI's, Azure's, Anthropic's, Google's."""

# A list of what is passed, since nothing can list what may name or forward a client: each CDN has its own headers.
_PASSED_UP = _KEY_HEADERS | {
    "accept",
    "accept-encoding",
    "content-encoding",
    "content-type",
    "idempotency-key",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-client-request-id",
    # Parts and versions of files.
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
}
_PASSED_UP_PREFIXES = ("openai-", "anthropic-", "x-stainless-")

_ANTHROPIC_HOST = re.compile(r"(?:.*\.)?anthropic\.com", re.IGNORECASE)


class UpHeaders:
    """Chooses the headers of each request to an upstream.

    settings: names more headers that are passed, and has the upstream's key
    """

    def __init__(self, settings: Settings) -> None:
        given = settings.pass_headers
        self._names = _PASSED_UP | {name for name in given if not name.endswith("*")}
        prefixes = tuple(name[:-1] for name in given if name.endswith("*"))
        self._prefixes = _PASSED_UP_PREFIXES + prefixes
        # The client's key is for Sluice, or is replaced; it must not reach the upstream in any of its forms.
        self._drops_keys = bool(settings.api_keys or settings.upstream_api_key)
        self._key = settings.upstream_api_key
        self._key_header = settings.upstream_key_header
        hosts = [urlsplit(url).hostname or "" for url in settings.upstream]
        self._is_azure = any(map(is_azure_host, hosts))
        self._is_anthropic = any(map(_ANTHROPIC_HOST.fullmatch, hosts))
        # Werkzeug's headers derive the names for each request anew: 20 us of a short answer's 700.
        self._name_of = lru_cache(maxsize=1024)(self._find_name)

    def choose(self, environ: "WSGIEnvironment", path: str) -> dict[str, str]:
        """Return the headers that go up, with names in lower case.

        path: of the client's request, without its prefix; the key goes in the form that its API wants
        """
        listed = environ.get("HTTP_CONNECTION")
        name_of = self._name_of
        headers = {name: value for key, value in environ.items() if (name := name_of(key))}
        if listed is not None:
            # For the next hop only (RFC 9110, section 7.6.1).
            for name in listed.split(","):
                headers.pop(name.strip().lower(), None)
        if self._key:
            name = self._key_header_for(path)
            headers[name] = f"Bearer {self._key}" if name == "authorization" else self._key
        return headers

    def _key_header_for(self, path: str) -> str:
        if self._key_header != "auto":
            return self._key_header
        if self._is_azure or path.startswith("/openai/"):
            return "api-key"
        if self._is_anthropic or path == "/v1/messages" or path.startswith("/v1/messages/"):
            return "x-api-key"
        return "authorization"

    def _find_name(self, environ_key: str) -> str | None:
        """Return the name of the header that goes up from under this key, None if none does."""
        if environ_key == "CONTENT_TYPE":
            return "content-type"
        if not environ_key.startswith("HTTP_"):
            return None
        name = environ_key.removeprefix("HTTP_").replace("_", "-").lower()
        if name in NEVER_PASSED_UP or (self._drops_keys and name in _KEY_HEADERS):
            return None
        return name if name in self._names or name.startswith(self._prefixes) else None
