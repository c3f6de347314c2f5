"""A request and its answer, redirects followed."""

import contextlib
import email.utils
import http.client
import io
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urljoin

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.util import Url, parse_url

from flask_sluice.client.connection import Connection
from flask_sluice.client.errors import (
    RedirectError,
    RefusedError,
    StreamTimeoutError,
    TransportError,
    UnreadableError,
)

MAX_REDIRECTS = 5
MAX_ERROR_BODY_BYTES = 64 * 1024
_READ_BYTES = 64 * 1024
_BYTES_WITHOUT_A_PAUSE = 512 * 1024
"""Some 10 ms of work. Not counted in reads: a pause costs a thread 50 us, many times one small read."""
_PORTS = {"http": 80, "https": 443}

_REDIRECTS = (301, 302, 303, 307, 308)
_CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie", "api-key", "x-api-key"})
_ABOUT_THE_BODY = frozenset({"content-type", "content-length", "content-encoding"})


@dataclass(frozen=True)
class Request:
    """What is asked. url: absolute, http or https; headers: the names in lower case"""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None

    def redirected(self, status: int, location: str) -> "Request":
        """Raises RedirectError if it leads to where credentials and questions must not go."""
        here = parse_http_url(self.url)
        try:
            there = urljoin(self.url, location)
            target = parse_http_url(there)
        except ValueError as error:
            raise RedirectError(
                f"{self.url} redirects to what is no HTTP address: {location}"
            ) from error
        if here.scheme == "https" and target.scheme == "http":
            raise RedirectError(f"{self.url} redirects from https to http: {there}")
        request = replace(self, url=there)
        # As in browsers (the Fetch standard, "HTTP-redirect fetch"); RFC 9110, section 15.4, allows it.
        if status == 303 or (status in (301, 302) and self.method == "POST"):
            request = replace(request, method="GET", body=None).without(_ABOUT_THE_BODY)
        return request if _origin(here) == _origin(target) else request.without(_CREDENTIALS)

    def without(self, names: frozenset[str]) -> "Request":
        return replace(
            self, headers={name: text for name, text in self.headers.items() if name not in names}
        )


class Response:
    """An answer whose head has been read.

    headers: their names in any case
    """

    def __init__(self, connection: Connection, inner: urllib3.HTTPResponse) -> None:
        self.status = inner.status
        self.reason = inner.reason or ""
        self.headers: Mapping[str, str] = inner.headers
        self._connection = connection
        self._inner = inner
        self._bytes_since_pause = 0
        self._is_compressed = "content-encoding" in self.headers

    @property
    def content_type(self) -> str:
        """Without parameters, in lower case; "" if there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def is_delimited(self) -> bool:
        """Whether its end can be told from a connection that broke."""
        return self._inner.chunked or self._inner.length_remaining is not None

    def read(self) -> bytes:
        """The next bytes of the body, as soon as there are some; b"" at its end.

        Raises TransportError if it breaks off, StreamTimeoutError, StreamClosedError.
        """
        if self._bytes_since_pause > _BYTES_WITHOUT_A_PAUSE:
            # A greenlet whose data is always there would never let another one run.
            self._bytes_since_pause = 0
            time.sleep(0)
        try:
            data = self._inner.read1(_READ_BYTES, decode_content=self._is_compressed)
        except urllib3.exceptions.HTTPError as error:
            raise TransportError(f"the connection broke in the answer: {_reason(error)}") from error
        self._bytes_since_pause += len(data)
        return data

    def read_beginning(self, size: int, data: bytes = b"") -> bytes:
        """``data`` and what follows, up to ``size`` bytes and as far as it comes."""
        pieces, left = [data], size - len(data)
        with contextlib.suppress(TransportError, StreamTimeoutError):
            while left > 0 and (piece := self.read()):
                pieces.append(piece)
                left -= len(piece)
        return b"".join(pieces)[:size]

    def close(self) -> None:
        self._connection.close()


def send(request: Request, connect: Callable[[Url], Connection]) -> Response:
    """The answer to the request, wherever it is redirected to.

    connect: gives a new connection to the host of the URL

    Raises what ``connect`` raises, TransportError, StreamTimeoutError, StreamClosedError; RefusedError for a
    status that is not 2xx; RedirectError; UnreadableError for a compression that is not known.
    """
    for _ in range(MAX_REDIRECTS + 1):
        response = _exchange(request, connect)
        location = response.headers.get("location")
        if response.status in _REDIRECTS and location is not None:
            response.close()
            request = request.redirected(response.status, location)
            continue
        if not 200 <= response.status < 300:
            raise _refusal(response)
        _check_encoding(response)
        return response
    raise RedirectError(f"more than {MAX_REDIRECTS} redirects, the last to {request.url}")


def parse_http_url(text: str) -> Url:
    """Raises ValueError for what is not an absolute http or https URL."""
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


def _exchange(request: Request, connect: Callable[[Url], Connection]) -> Response:
    url = parse_http_url(request.url)
    connection = connect(url)
    inner = HTTPConnection(url.host or "", port_of(url))
    inner.sock = sock = _Socket(connection)
    headers = {"host": url.netloc or "", **request.headers}
    try:
        # A server may refuse, and hang up, before it has read all; its answer is there all the same.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            inner.request(
                request.method, url.request_uri, request.body, headers, preload_content=False
            )
        response = inner.getresponse()
    except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
        raise TransportError(f"no answer from {url.netloc}: {_reason(error)}") from error
    if sock.has_ended:
        # http.client takes what it has for the whole head.
        raise TransportError(f"no answer from {url.netloc}: it hung up in the middle of the head")
    return Response(connection, response)


def _refusal(response: Response) -> RefusedError:
    return RefusedError(
        response.status,
        response.reason,
        response.headers,
        response.read_beginning(MAX_ERROR_BODY_BYTES),
        parse_retry_after(response.headers.get("retry-after", "")),
    )


def _check_encoding(response: Response) -> None:
    """None was asked for; what urllib3 decodes is taken all the same."""
    encodings = response.headers.get("content-encoding", "identity").lower().split(",")
    unknown = {each.strip() for each in encodings}.difference(
        urllib3.HTTPResponse.CONTENT_DECODERS, {"identity", ""}
    )
    if unknown:
        names = ", ".join(sorted(unknown))
        raise UnreadableError(f"the body is compressed, which was not asked for, with {names}")


def parse_retry_after(value: str) -> float | None:
    """Seconds from now (RFC 9110, section 10.2.3: a number of them, or a date); None for what is neither."""
    if re.fullmatch("[0-9]{1,9}", value):
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(moment.timestamp() - time.time(), 0.0)


def _reason(error: Exception) -> str:
    cause = error.__cause__ or error
    if isinstance(cause, http.client.RemoteDisconnected):
        return "it hung up"
    if isinstance(cause, http.client.IncompleteRead | urllib3.exceptions.IncompleteRead):
        return "it ended before the body did"
    return getattr(cause, "strerror", None) or f"{type(cause).__name__} {cause}"


class _Socket(io.RawIOBase):
    """What http.client needs of a socket, and of the file that it makes of it.

    has_ended: whether the end of the connection was read
    """

    def __init__(self, connection: Connection) -> None:
        self.has_ended = False
        self._connection = connection

    def sendall(self, data: bytes) -> None:
        self._connection.send_all(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self, _READ_BYTES)

    def settimeout(self, _seconds: object) -> None:
        """The connection has its deadlines."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self._connection.receive_into(buffer)
        self.has_ended = not size
        return size

    def close(self) -> None:
        """Nothing: http.client closes as soon as it has read a head with ``Connection: close``."""
