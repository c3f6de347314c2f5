"""Reads HTTP/1.1 responses out of bytes (RFC 9112). No I/O.

http.client does not fit: it reads line by line through a buffered file and may block in each line. The relay takes all
bytes that a read has brought at once, and never waits inside.
"""

import re
from typing import Protocol

import msgspec

MAX_HEAD_BYTES = 64 * 1024
_MAX_HEADERS = 1000
_MAX_CHUNK_LINE_BYTES = 4096
_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([^\r\n]*))?")
# A token (RFC 9110, section 5.6.2) and a value (section 5.5).
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)")
_MEDIA_TYPE = re.compile(r"(?!\*/\*)[^\s/;,]+/[^\s/;,]+")
_LIST_ITEM = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_CONTENT_CODINGS = frozenset(
    # https://www.iana.org/assignments/http-parameters, without identity, and two that were never registered.
    [
        "aes128gcm",
        "br",
        "compress",
        "dcb",
        "dcz",
        "deflate",
        "exi",
        "gzip",
        "pack200-gzip",
        "x-compress",
        "x-gzip",
        "zstd",
        "snappy",
        "lz4",
    ]
)
_TIMEOUT = re.compile(r"(?i)(?:^|[\s,;])timeout\s*=\s*\"?([0-9]{1,9})\b")
_LENGTH = re.compile("[0-9]{1,18}")  # int() raises for thousands of digits.
_CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,16}")
_CHUNK_START = re.compile(rb"([0-9a-fA-F]{1,16})\r\n")


class InvalidResponseError(Exception):
    """The bytes are not an HTTP/1 response."""


class ResponseHead(msgspec.Struct, frozen=True):
    """A response's status and headers.

    reason: the phrase behind the status, as it came
    headers: in their order, with names in lower case
    values: the value of each name; several of one name are joined by ", "
    """

    status: int
    headers: list[tuple[str, str]]
    values: dict[str, str]
    is_http_1_0: bool
    reason: str = ""

    def has_token(self, name: str, token: str) -> bool:
        """Return whether a comma-separated header lists ``token``."""
        value = self.values.get(name)
        return value is not None and token in map(str.strip, value.lower().split(","))

    @property
    def keep_alive_seconds(self) -> float | None:
        """How long the server keeps the connection while it is idle, if it says so (``Keep-Alive: timeout=5``)."""
        value = self.values.get("keep-alive")
        timeout = value and _TIMEOUT.search(value)
        return float(timeout[1]) if timeout else None

    @property
    def keeps_connection(self) -> bool:
        """Whether another request may follow on the same connection."""
        if self.has_token("connection", "close"):
            return False
        # With both, the server and a proxy in between may disagree where the body ends (RFC 9112, section 6.1).
        if "transfer-encoding" in self.values and "content-length" in self.values:
            return False
        return not self.is_http_1_0 or self.has_token("connection", "keep-alive")


def parse_head(head: bytes) -> ResponseHead:
    """Parse the bytes before the empty line. Raises InvalidResponseError."""
    status_line, *lines = head.decode("latin-1").split("\r\n")
    match = _STATUS_LINE.fullmatch(status_line)
    if match is None:
        raise InvalidResponseError("its first line is not one of HTTP/1")
    if len(lines) > _MAX_HEADERS:
        raise InvalidResponseError(f"its head has more than {_MAX_HEADERS} headers")
    headers = []
    values: dict[str, str] = {}
    for number, line in enumerate(lines, 2):
        field = _FIELD.fullmatch(line)
        if field is None:
            # Not quoted: it may hold a secret, and would come into the log.
            raise InvalidResponseError(f"line {number} of its head is not a header")
        name, value = field[1].lower(), field[2].strip(" \t")
        headers.append((name, value))
        values[name] = f"{values[name]}, {value}" if name in values else value
    _mend(headers, values)
    return ResponseHead(int(match[2]), headers, values, match[1] == "0", match[3] or "")


def _mend(headers: list[tuple[str, str]], values: dict[str, str]) -> None:
    """Understand what servers send wrong as browsers do, and leave it right for those to whom it is passed on.

    Of several content types the last counts (WHATWG Fetch, "extract a MIME type"). A content encoding that does not name one,
    such as ``none`` or ``utf-8``, does not count. The same Content-Length more than once is one (RFC 9110, section 8.6).
    """
    content_type = values.get("content-type")
    if content_type is not None and "," in content_type:
        types = [each for each in _split_unquoted(content_type) if _MEDIA_TYPE.match(each)]
        _replace(headers, values, "content-type", types[-1] if types else None)
    if "content-encoding" in values:
        encodings = [each.strip() for each in values["content-encoding"].split(",")]
        known = ", ".join(each for each in encodings if each.lower() in _CONTENT_CODINGS)
        _replace(headers, values, "content-encoding", known or None)
    length = values.get("content-length")
    if (
        length is not None
        and "," in length
        and len(same := {*map(str.strip, length.split(","))}) == 1
    ):
        _replace(headers, values, "content-length", same.pop())


def _split_unquoted(value: str) -> list[str]:
    """Split at the commas that do not stand in quotes, as of ``boundary="a,b"``."""
    return [each.strip() for each in _LIST_ITEM.findall(value)]


def _replace(
    headers: list[tuple[str, str]], values: dict[str, str], name: str, value: str | None
) -> None:
    headers[:] = [header for header in headers if header[0] != name]
    values.pop(name, None)
    if value is not None:
        headers.append((name, value))
        values[name] = value


class Body(Protocol):
    """Takes the framing off a response's body.

    is_broken: whether the framing has stopped being HTTP; what ``feed`` has returned still counts
    is_at_chunk: whether the next byte begins a chunk
    chunk_left: how many bytes of the present chunk are yet to come, the CRLF behind its data included
    """

    is_complete: bool
    is_broken: bool
    ends_with_connection: bool
    chunk_left: int

    @property
    def is_at_chunk(self) -> bool: ...

    def feed(self, data: bytes) -> bytes:
        """Return the body's bytes in ``data``."""


def body_of(head: ResponseHead, method: str) -> Body:
    """Return the body that the head announces (RFC 9112, section 6.3). Raises InvalidResponseError."""
    if method == "HEAD" or head.status in (204, 304):
        return SizedBody(0)
    if "transfer-encoding" in head.values:
        if head.values["transfer-encoding"].lower() != "chunked":
            raise InvalidResponseError("a transfer encoding that is not chunked alone")
        return ChunkedBody()
    length = head.values.get("content-length")
    if length is None:
        return EndlessBody()
    if not _LENGTH.fullmatch(length):
        raise InvalidResponseError(f"not a Content-Length: {length[:80]!r}")
    return SizedBody(int(length))


class SizedBody:
    """A body with a Content-Length."""

    ends_with_connection = False
    is_at_chunk = False
    chunk_left = 0

    __slots__ = ("_left", "is_broken", "is_complete")

    def __init__(self, length: int) -> None:
        self._left = length
        self.is_complete = not length
        self.is_broken = False

    def feed(self, data: bytes) -> bytes:
        self.is_broken = len(data) > self._left
        data = data[: self._left]
        self._left -= len(data)
        self.is_complete = not self._left
        return data


class EndlessBody:
    """A body that ends where the connection ends, so that a cut one looks like a whole one."""

    ends_with_connection = True
    is_complete = False
    is_broken = False
    is_at_chunk = False
    chunk_left = 0

    def feed(self, data: bytes) -> bytes:
        return data


class ChunkedBody:
    """A chunked body (RFC 9112, section 7.1). Chunk extensions and trailers are ignored."""

    ends_with_connection = False

    __slots__ = (
        "_in_trailers",
        "_pending",
        "_trailer_bytes",
        "chunk_left",
        "is_broken",
        "is_complete",
    )

    def __init__(self) -> None:
        self.is_complete = False
        self.is_broken = False
        self._pending = b""
        self.chunk_left = 0
        self._in_trailers = False
        self._trailer_bytes = 0

    @property
    def is_at_chunk(self) -> bool:
        return not (self._pending or self.chunk_left or self._in_trailers or self.is_broken)

    def feed(self, data: bytes) -> bytes:
        if self._pending:
            data = self._pending + data
            self._pending = b""
        pieces: list[bytes] = []
        place = 0
        while place < len(data) and not (self.is_complete or self.is_broken):
            if self.chunk_left > 2:
                piece = data[place : place + self.chunk_left - 2]
                pieces.append(piece)
                place += len(piece)
                self.chunk_left -= len(piece)
            elif self.chunk_left:
                place += self._take_chunk_end(data[place : place + self.chunk_left])
            else:
                if not self._in_trailers:
                    place = self._take_whole_chunks(data, place, pieces)
                line_end = data.find(b"\r\n", place)
                if line_end < 0:
                    break
                self._take_line(data[place:line_end])
                place = line_end + 2
        self._pending = data[place:]
        if self._pending and (self.is_complete or len(self._pending) > _MAX_CHUNK_LINE_BYTES):
            self.is_broken = True
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    @staticmethod
    def _take_whole_chunks(data: bytes, place: int, pieces: list[bytes]) -> int:
        """Take the whole chunks at ``place`` and return where they end, in a third of the time that each step of ``feed``
        needs; nearly every read brings little else."""
        while (start := _CHUNK_START.match(data, place)) is not None:
            begin = start.end()
            end = begin + int(start[1], 16)
            if end == begin or data[end : end + 2] != b"\r\n":
                break
            pieces.append(data[begin:end])
            place = end + 2
        return place

    def _take_chunk_end(self, end: bytes) -> int:
        """Check the CRLF behind a chunk's data, which may come in two reads. Returns how many bytes of it were there."""
        self.is_broken = not b"\r\n"[2 - self.chunk_left :].startswith(end)
        self.chunk_left -= len(end)
        return len(end)

    def _take_line(self, line: bytes) -> None:
        if self._in_trailers:
            self.is_complete = not line
            self._trailer_bytes += len(line)
            self.is_broken = self._trailer_bytes > MAX_HEAD_BYTES
            return
        size = line.partition(b";")[0].rstrip(b" \t")
        if not _CHUNK_SIZE.fullmatch(size):
            self.is_broken = True
            return
        self.chunk_left = int(size, 16)
        if self.chunk_left:
            self.chunk_left += 2
        else:
            self._in_trailers = True
