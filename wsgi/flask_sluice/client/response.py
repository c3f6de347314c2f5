"""Sends a request over a connection of ours, with urllib3's HTTP, and reads the response.

This is the only module that relies on insides of urllib3 and http.client:

- ``HTTPConnection.sock`` may be set before the request, to an object with ``sendall``, ``makefile``, ``settimeout`` and
  ``close``. So every wait happens in ``ClientConnection``, which has the time limits.
- ``HTTPResponse`` has ``_fp``, ``_raw_read`` and ``_decode``: used with urllib3 before 2.2 only, which has no ``read1``.
"""

import contextlib
import email.utils
import http.client
import io
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.util import Url

from flask_sluice.client.connection import ClientConnection
from flask_sluice.client.decoders import essence_of
from flask_sluice.client.errors import (
    RedirectError,
    RefusedError,
    StreamTimeoutError,
    TransportError,
    UnreadableError,
)
from flask_sluice.client.reconnect import MAX_ASKED_SECONDS
from flask_sluice.client.request import Request, parse_http_url, port_of

MAX_REDIRECTS = 5
MAX_ERROR_BODY_BYTES = 64 * 1024
HAS_READ1 = hasattr(urllib3.HTTPResponse, "read1")
_READ_BYTES = 64 * 1024
_COMPRESSED_READ_BYTES = 1024
_BYTES_WITHOUT_A_PAUSE = 512 * 1024
"""Some 10 ms of work. Bytes are counted, not reads: a pause costs a thread 50 us, many times one small read."""

_REDIRECTS = (301, 302, 303, 307, 308)
_NO_COMPRESSION = ("", "identity", "none", "utf-8")
"""Servers also send ``none``, and ``utf-8``, which is a charset; browsers read both."""


class Response:
    """A response whose head has been read.

    headers: a mapping that ignores the case of names
    """

    def __init__(self, connection: ClientConnection, inner: urllib3.HTTPResponse) -> None:
        self.status = inner.status
        self.reason = inner.reason or ""
        self.headers: Mapping[str, str] = inner.headers
        self._connection = connection
        self._inner = inner
        self._bytes_since_pause = 0
        is_compressed = "content-encoding" in self.headers
        self._read = _reader_of(inner, decode_content=is_compressed)

    @property
    def content_type(self) -> str:
        """The content type without parameters, in lower case; "" without the header."""
        return essence_of(self.headers.get("content-type", ""))

    def header(self, name: str) -> str:
        """Return the header's value, "" without it. One that was sent twice counts once."""
        return ", ".join(dict.fromkeys(self._inner.headers.getlist(name)))

    @property
    def is_delimited(self) -> bool:
        """Whether the body's end differs from the end of a connection that broke."""
        return self._inner.chunked or self._inner.length_remaining is not None

    def read(self) -> bytes:
        """Return the next bytes of the body as soon as there are some, or b"" at its end.

        Raises TransportError if the connection breaks, StreamTimeoutError, StreamClosedError.
        """
        if self._bytes_since_pause > _BYTES_WITHOUT_A_PAUSE:
            # A greenlet that always finds data would never let another one run.
            self._bytes_since_pause = 0
            time.sleep(0)
        try:
            data = self._read()
        except urllib3.exceptions.HTTPError as error:
            raise TransportError(f"the connection broke in the answer: {_reason(error)}") from error
        self._bytes_since_pause += len(data)
        return data

    def read_beginning(self, size: int, data: bytes = b"") -> bytes:
        """Return ``data`` and the bytes after it, ``size`` bytes in all, or fewer if the body ends or breaks."""
        pieces, left = [data], size - len(data)
        with contextlib.suppress(TransportError, StreamTimeoutError):
            while left > 0 and (piece := self.read()):
                pieces.append(piece)
                left -= len(piece)
        return b"".join(pieces)[:size]

    def close(self) -> None:
        self._connection.close()


def send(request: Request, connect: Callable[[Url], ClientConnection]) -> Response:
    """Send the request, follow redirects, and return the response.

    connect: opens a connection to the host of the URL

    Raises what ``connect`` raises, TransportError, StreamTimeoutError, StreamClosedError; RefusedError for a
    status that is not 2xx; RedirectError; UnreadableError for an unknown compression.
    """
    for _ in range(MAX_REDIRECTS + 1):
        response = _exchange(request, connect)
        location = response.header("location")
        if response.status in _REDIRECTS and location:
            response.close()
            request = request.redirected(response.status, location)
            continue
        if not 200 <= response.status < 300:
            raise _refused(response)
        _check_encoding(response)
        return response
    raise RedirectError(f"more than {MAX_REDIRECTS} redirects, the last to {request.url}")


def parse_retry_after(value: str) -> float | None:
    """Return seconds from now (RFC 9110, section 10.2.3: a number, or a date), at most a day; None for any other text."""
    if re.fullmatch("[0-9]+", value):
        return min(float(value), MAX_ASKED_SECONDS)
    try:
        seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError):  # OverflowError: a year or an hour of twenty digits.
        return None
    return min(max(seconds, 0.0), MAX_ASKED_SECONDS)


def _exchange(request: Request, connect: Callable[[Url], ClientConnection]) -> Response:
    url = parse_http_url(request.url)
    connection = connect(url)
    inner = HTTPConnection(url.host or "", port_of(url))
    inner.sock = sock = _Socket(connection)
    headers = {"host": url.netloc or "", **request.headers}
    try:
        # A server may send its refusal and close before it has read the whole request; the response can still be read.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            inner.request(
                request.method, url.request_uri, request.body, headers, preload_content=False
            )
        response = inner.getresponse()
    except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
        raise TransportError(f"no answer from {url.netloc}: {_reason(error)}") from error
    if sock.has_ended:
        # http.client takes an incomplete head for a complete one.
        raise TransportError(f"no answer from {url.netloc}: it hung up in the middle of the head")
    return Response(connection, response)


def _reader_of(inner: urllib3.HTTPResponse, *, decode_content: bool) -> Callable[[], bytes]:
    """Return a function that reads the next bytes of the body as soon as there are some."""
    if HAS_READ1:
        return lambda: inner.read1(_READ_BYTES, decode_content=decode_content)
    # read(size) of urllib3 before 2.2 waits until it has `size` bytes, of a compressed body even decoded ones.
    inner._fp.read = inner._fp.read1  # type: ignore[method-assign, union-attr]
    inner._init_decoder()
    # A decoder of these releases has no limit, and 64 KiB may be 64 MiB when decoded.
    size = _COMPRESSED_READ_BYTES if decode_content else _READ_BYTES

    def read() -> bytes:
        while True:
            data = inner._raw_read(size)
            decoded = inner._decode(data, decode_content, flush_decoder=not data)
            if decoded or not data:
                return decoded

    return read


def _refused(response: Response) -> RefusedError:
    return RefusedError(
        response.status,
        response.reason,
        response.headers,
        response.read_beginning(MAX_ERROR_BODY_BYTES),
        parse_retry_after(response.header("retry-after")),
    )


def _check_encoding(response: Response) -> None:
    """Refuse a compression that urllib3 cannot decode. The client asks for none, but a server may ignore that."""
    encodings = response.headers.get("content-encoding", "").lower().split(",")
    unknown = {each.strip() for each in encodings}.difference(
        urllib3.HTTPResponse.CONTENT_DECODERS, _NO_COMPRESSION
    )
    if unknown:
        names = ", ".join(sorted(unknown))
        raise UnreadableError(f"the body is compressed, which was not asked for, with {names}")


def _reason(error: Exception) -> str:
    cause = error.__cause__ or error
    if isinstance(cause, http.client.RemoteDisconnected):
        return "it hung up"
    if isinstance(cause, http.client.IncompleteRead | urllib3.exceptions.IncompleteRead):
        return "it ended before the body did"
    return getattr(cause, "strerror", None) or f"{type(cause).__name__} {cause}"


class _Socket(io.RawIOBase):
    """Stands in for the socket of http.client, and for the file that http.client makes of it.

    has_ended: whether the end of the connection was read
    """

    def __init__(self, connection: ClientConnection) -> None:
        self.has_ended = False
        self._connection = connection

    def sendall(self, data: bytes) -> None:
        self._connection.send_all(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self, _READ_BYTES)

    def settimeout(self, _seconds: object) -> None:
        """Do nothing: the connection has its own time limits."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self._connection.receive_into(buffer)
        self.has_ended = not size
        return size

    def close(self) -> None:
        """Do nothing: http.client closes after a head with ``Connection: close``, before the body is read."""
