"""Requests that two servers may read differently: as one, or as two of which the second was smuggled past the first.

The second is always for /echo?smuggled-KEY, the first, if it is anything, for /echo?KEY.
"""

from collections.abc import Callable

from tests.server.raw_upstream import chunk

Attack = Callable[[str], bytes]
"""Gets a key that is nobody else's, gives what is sent."""


def _smuggled(key: str) -> bytes:
    return f"GET /echo?smuggled-{key} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def _with(head: str, body: Callable[[bytes], bytes] | None = None) -> Attack:
    """A POST with these header lines, in which LENGTH stands for the body's."""

    def attack(key: str) -> bytes:
        data = (body or _first_chunk_is_last)(_smuggled(key))
        lines = head.replace("LENGTH", str(len(data)))
        return (
            f"POST /echo?{key} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n\r\n".encode("latin-1")
            + data
        )

    return attack


def _line(text: str) -> Attack:
    """A head whose first line, or more, is this, with KEY in it."""
    return lambda key: text.replace("KEY", key).encode("latin-1")


def _first_chunk_is_last(smuggled: bytes) -> bytes:
    """Who reads chunks sees an empty body, and a second request behind it."""
    return b"0\r\n\r\n" + smuggled


def _one_chunk(smuggled: bytes) -> bytes:
    """Who believes Content-Length: 4 sees a second request behind the chunk's size."""
    assert 0x10 <= len(smuggled) <= 0xFF  # two digits and a line end: the four bytes
    return chunk(smuggled) + b"0\r\n\r\n"


def _chunked(text: bytes) -> Attack:
    """The body's chunks, with SMUGGLED in them."""
    return _with("Transfer-Encoding: chunked", lambda smuggled: text.replace(b"SMUGGLED", smuggled))


_BOTH = "Content-Length: LENGTH\r\n"

ATTACKS: dict[str, Attack] = {
    # Content-Length and Transfer-Encoding at once (RFC 9112, section 6.3).
    "CL.TE": _with(_BOTH + "Transfer-Encoding: chunked"),
    "TE.CL": _with("Content-Length: 4\r\nTransfer-Encoding: chunked", _one_chunk),
    # A Transfer-Encoding that one server knows and another does not.
    "TE.TE unknown coding": _with(_BOTH + "Transfer-Encoding: xchunked"),
    "TE.TE identity": _with(_BOTH + "Transfer-Encoding: identity"),
    "TE.TE chunked, identity": _with(_BOTH + "Transfer-Encoding: chunked, identity"),
    "TE.TE chunked twice": _with("Transfer-Encoding: chunked, chunked"),
    "TE.TE two headers": _with("Transfer-Encoding: chunked\r\nTransfer-Encoding: cow"),
    "TE.TE two headers and CL": _with(
        _BOTH + "Transfer-Encoding: cow\r\nTransfer-Encoding: chunked"
    ),
    "TE.TE space before the colon": _with(_BOTH + "Transfer-Encoding : chunked"),
    "TE.TE tab before the colon": _with(_BOTH + "Transfer-Encoding\t: chunked"),
    "TE.TE tab before the value": _with(_BOTH + "Transfer-Encoding:\tchunked"),
    "TE.TE vertical tab": _with(_BOTH + "Transfer-Encoding: \x0bchunked"),
    "TE.TE control character": _with(_BOTH + "Transfer-Encoding: \x01chunked"),
    "TE.TE quoted": _with(_BOTH + 'Transfer-Encoding: "chunked"'),
    "TE.TE trailing semicolon": _with(_BOTH + "Transfer-Encoding: chunked;x"),
    "TE.TE folded": _with(_BOTH + "Transfer-Encoding:\r\n chunked"),
    "TE.TE hidden behind a bare LF": _with(_BOTH + "X-Padding: x\nTransfer-Encoding: chunked"),
    "TE.TE hidden behind a bare CR": _with(_BOTH + "X-Padding: x\rTransfer-Encoding: chunked"),
    "TE.TE line begins with a space": _with(_BOTH + " Transfer-Encoding: chunked"),
    "TE.TE name with a byte that is no letter": _with(_BOTH + "Transfer-Encoding\xff: chunked"),
    "TE.TE name with a NUL": _with(_BOTH + "Transfer\x00-Encoding: chunked"),
    "TE.TE underscore": _with(_BOTH + "Transfer_Encoding: chunked"),
    "TE in HTTP/1.0": lambda key: ATTACKS["CL.TE"](key).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    # Lengths.
    "CL.CL": _with("Content-Length: 0\r\nContent-Length: LENGTH"),
    "CL.CL the other way round": _with("Content-Length: LENGTH\r\nContent-Length: 0"),
    "CL.CL in one line": _with("Content-Length: LENGTH, 0"),
    "CL with a plus": _with("Content-Length: +LENGTH"),
    "CL with a minus": _with("Content-Length: -1"),
    "CL hexadecimal": _with("Content-Length: 0xLENGTH"),
    "CL with an underscore": _with("Content-Length: 1_0"),
    "CL with other digits": _with("Content-Length: \xb2"),
    "CL with a comma": _with("Content-Length: 5,"),
    "CL empty": _with("Content-Length: "),
    "CL too large for a number": _with("Content-Length: 18446744073709551621"),
    "CL space before the colon": _with("Content-Length : LENGTH"),
    # Chunks.
    "chunk size negative": _chunked(b"-1\r\nSMUGGLED0\r\n\r\n"),
    "chunk size with 0x": _chunked(b"0x0\r\n\r\nSMUGGLED0\r\n\r\n"),
    "chunk size too large for a number": _chunked(b"10000000000000000\r\n\r\nSMUGGLED"),
    "chunk size with a plus": _chunked(b"+0\r\n\r\nSMUGGLED0\r\n\r\n"),
    "chunk size with an underscore": _chunked(b"1_0\r\n\r\nSMUGGLED0\r\n\r\n"),
    "chunk size ended by LF": _chunked(b"1\nx\r\nf3\r\nSMUGGLED"),
    "chunk size ended by CR": _chunked(b"1\rx\r\nf3\r\nSMUGGLED"),
    "chunk extension with an LF": _chunked(b"1;x\n\r\nx\r\nfff\r\nSMUGGLED"),
    "chunk extension with a CR": _chunked(b"1;x\rx\r\nfff\r\nSMUGGLED"),
    "chunk extension with a NUL": _chunked(b"1;\x00\r\nx\r\nfff\r\nSMUGGLED"),
    "chunk longer than said": _chunked(b"1\r\nxxx\r\n0\r\n\r\nSMUGGLED"),
    "chunk without its line end": _chunked(b"1\r\nx0\r\n\r\nSMUGGLED"),
    "chunked body that never ends": _chunked(b"fff\r\nSMUGGLED"),
    # Header lines.
    "header without a colon": _with("Content-Length: LENGTH\r\nnonsense"),
    "header without a name": _with("Content-Length: LENGTH\r\n: x"),
    "header value with a bare CR": _with("Content-Length: LENGTH\r\nX: a\rContent-Length: 0"),
    "header value with a NUL": _with("Content-Length: LENGTH\r\nX: a\x00b"),
    "header folded": _with("Content-Length: LENGTH\r\nX: a\r\n b"),
    "header too large": _with(f"Content-Length: LENGTH\r\nX: {'x' * 40_000}"),
    "headers too many": _with(
        "Content-Length: LENGTH\r\n" + "\r\n".join(f"X-{number}: x" for number in range(10_000))
    ),
    "host twice": _with("Content-Length: LENGTH\r\nHost: other"),
    "expectation unknown": _with("Content-Length: LENGTH\r\nExpect: 200-ok"),
    # Request lines.
    "target too long": _line(f"GET /echo?KEY{'x' * 40_000} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "target with a space": _line(
        "GET /echo?smuggled-KEY HTTP/1.1 /echo?KEY HTTP/1.1\r\nHost: localhost\r\n\r\n"
    ),
    "target with a NUL": _line("GET /echo\x00?smuggled-KEY HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "target with a control character": _line(
        "GET /echo\x01?smuggled-KEY HTTP/1.1\r\nHost: localhost\r\n\r\n"
    ),
    "target without a slash": _line("GET echo?smuggled-KEY HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "method with a colon": _line("GET: /echo?smuggled-KEY HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "method in small letters": _line("get /echo?smuggled-KEY HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "version unknown": _line("GET /echo?smuggled-KEY HTTP/9.9\r\nHost: localhost\r\n\r\n"),
    "no host": _line("GET /echo?KEY HTTP/1.1\r\n\r\n"),
    "other host in the target": _line(
        "GET http://other/echo?KEY HTTP/1.1\r\nHost: localhost\r\n\r\n"
    ),
    "other host in the target, which is none": _line(
        "GET http://other:x/echo?KEY HTTP/1.1\r\nHost: localhost\r\n\r\n"
    ),
    "tunnel": _line("CONNECT test:80 HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "upgrade to HTTP/2 in the clear": _line(
        "GET /echo?KEY HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    ),
}
