"""The reader of HTTP/1.1 responses (RFC 9112), whatever an upstream sends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_sluice.gateway.relay.http1_parser import (
    ChunkedBody,
    InvalidResponseError,
    body_of,
    parse_head,
)
from tests.unit.test_parser import cut


def head(*headers, status_line="HTTP/1.1 200 OK"):
    return parse_head("\r\n".join([status_line, *headers]).encode("latin-1"))


def read(body, data):
    return b"".join(body.feed(data[place : place + 1]) for place in range(len(data)))


# Heads.


@pytest.mark.parametrize(
    "status_line", ["HTTP/1.1 404 Not Found", "HTTP/1.1 404 ", "HTTP/1.1 404", "HTTP/1.1 404 Né"]
)
def test_the_reason_of_a_status_may_be_anything(status_line):
    assert head(status_line=status_line).status == 404


def test_headers_keep_their_order_and_lose_case_and_space():
    parsed = head("B:  two \t", "a: one", "EMPTY:", "b: x: y")
    assert parsed.headers == [("b", "two"), ("a", "one"), ("empty", ""), ("b", "x: y")]


def test_a_head_has_at_most_1000_headers():
    assert len(head(*["a:"] * 1000).headers) == 1000
    with pytest.raises(InvalidResponseError, match="more than 1000 headers"):
        head(*["a:"] * 1001)


def test_a_head_without_headers_is_one():
    assert head().headers == []


def test_values_of_the_same_header_are_joined():
    assert head("A: 1", "a: 2").values["a"] == "1, 2"
    assert head("A: 1").values.get("b") is None


def test_tokens_are_found_whatever_their_case_and_place():
    parsed = head("Connection: Keep-Alive , CLOSE")
    assert parsed.has_token("connection", "close")
    assert not parsed.has_token("connection", "keep")
    assert not parsed.has_token("upgrade", "close")


def test_bytes_beyond_ascii_in_a_value_are_kept():
    assert head("X: caf\xe9").values["x"] == "caf\xe9"


def test_http_1_0_is_told_apart():
    assert head(status_line="HTTP/1.0 200 OK").is_http_1_0
    assert not head().is_http_1_0


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\r\n",
        b"SSH-2.0-OpenSSH_9.2",
        b"\x15\x03\x01\x00\x02\x02\x0a",
        b"HTTP/2 200 OK",
        b"HTTP/1.2 200 OK",
        b"http/1.1 200 OK",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 999 OK",
        b"HTTP/1.1 20x OK",
        b"HTTP/1.1  200 OK",
        b" HTTP/1.1 200 OK",
        b"HTTP/1.1 200OK",
    ],
)
def test_another_status_line_is_refused(garbage):
    with pytest.raises(InvalidResponseError):
        parse_head(garbage)


@pytest.mark.parametrize(
    "header",
    [
        b"no colon",
        b": no name",
        b"Space : before the colon",
        b" Folded: line",
        b"\tfolded",
        b"",
        b"A: 1\nB: bare LF",
        b"A: 1\rB: bare CR",
        b"A: \0",
        b"A: \x01",
        b"A: \x7f",
        b"Two words: x",
        b"N\xe4me: x",
        b'"quoted": x',
    ],
)
def test_another_header_is_refused(header):
    with pytest.raises(InvalidResponseError):
        parse_head(b"HTTP/1.1 200 OK\r\n" + header)


def test_what_is_shown_of_garbage_is_short():
    with pytest.raises(InvalidResponseError) as error:
        parse_head(b"x" * 10_000)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    "secret",
    [b"Authorization Bearer sk-secret", b"Set-Cookie : sk-secret", b"X: sk-secret\0", b"sk-secret"],
)
def test_nothing_of_a_header_that_is_refused_is_told(secret):
    with pytest.raises(InvalidResponseError) as error:
        parse_head(b"HTTP/1.1 200 OK\r\nA: b\r\n" + secret)
    assert str(error.value) == "line 3 of its head is not a header"


def test_nothing_of_a_first_line_that_is_refused_is_told():
    with pytest.raises(InvalidResponseError) as error:
        parse_head(b"the answer of another client")
    assert "client" not in str(error.value)


# What servers send wrong, and browsers understand.


@pytest.mark.parametrize(
    ("lines", "type_"),
    [
        (["text/event-stream", "text/event-stream"], "text/event-stream"),
        (["text/event-stream, text/event-stream"], "text/event-stream"),
        (["text/html", "application/json"], "application/json"),
        (["application/json; charset=utf-8", "*/*"], "application/json; charset=utf-8"),
        (["application/json", ""], "application/json"),
        (["application/json,nonsense"], "application/json"),
        (['multipart/mixed; boundary="a,b/c"'], 'multipart/mixed; boundary="a,b/c"'),
    ],
)
def test_the_last_of_several_content_types_counts(lines, type_):
    parsed = head(*(f"Content-Type: {line}" for line in lines))
    assert parsed.values["content-type"] == type_
    assert parsed.headers == [("content-type", type_)]


@pytest.mark.parametrize(
    "encoding", ["none", "None", "identity", "utf-8", "UTF8", "", "identity, none", "binary"]
)
def test_a_content_encoding_that_encodes_nothing_does_not_count(encoding):
    parsed = head(f"Content-Encoding: {encoding}", "A: b")
    assert parsed.headers == [("a", "b")]
    assert "content-encoding" not in parsed.values


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "zstd", "deflate", "gzip, br"])
def test_a_content_encoding_is_kept(encoding):
    assert head(f"Content-Encoding: {encoding}").headers == [("content-encoding", encoding)]


@pytest.mark.parametrize("lines", [["5", "5"], ["5, 5"], ["5", "5,5"]])
def test_the_same_content_length_twice_is_one(lines):
    parsed = head(*(f"Content-Length: {line}" for line in lines))
    assert parsed.headers == [("content-length", "5")]
    assert body_of(parsed, "POST").feed(b"hello!") == b"hello"


# How long a connection is kept.


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("timeout=5, max=100", 5), ("max=3,timeout = 15", 15), ("TIMEOUT=2", 2), ('timeout="7"', 7)],
)
def test_the_upstream_says_how_long_it_keeps_a_connection(value, seconds):
    assert head(f"Keep-Alive: {value}").keep_alive_seconds == seconds


@pytest.mark.parametrize("value", ["", "max=5", "timeout", "timeout=x", "timeout=-1", "xtimeout=5"])
def test_a_keep_alive_without_a_timeout_says_nothing(value):
    assert head(f"Keep-Alive: {value}").keep_alive_seconds is None
    assert head().keep_alive_seconds is None


# Chunked bodies.

CHUNKED = head("Transfer-Encoding: chunked")


def chunked(pieces, extension=b"", trailers=b""):
    chunks = [b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces]
    return b"".join(chunks) + b"0" + extension + b"\r\n" + trailers + b"\r\n"


@given(
    st.lists(st.binary(min_size=1, max_size=40) | st.sampled_from([b"\r\n", b"0\r\n\r\n"])),
    st.sampled_from([b"", b";a", b' ; a="b"', b" "]),
    st.sampled_from([b"", b"A: b\r\n", b"A: b\r\nC: d\r\n"]),
    st.data(),
)
def test_chunks_are_put_together_however_they_are_cut(pieces, extension, trailers, data):
    stream = chunked(pieces, extension, trailers)
    places = data.draw(st.lists(st.integers(0, len(stream))))
    body = body_of(CHUNKED, "POST")
    received = b"".join(map(body.feed, cut(stream, places)))
    assert received == b"".join(pieces)
    assert body.is_complete


def test_all_chunks_that_have_come_are_given_at_once():
    assert ChunkedBody().feed(b"2\r\nab\r\n1\r\nc\r\n3\r\nd") == b"abcd"


@pytest.mark.parametrize("size", [b"a", b"A", b"00000000a"])
def test_a_size_is_hexadecimal(size):
    assert ChunkedBody().feed(size + b"\r\n" + b"x" * 10 + b"\r\n") == b"x" * 10


@given(st.integers(1, len(chunked([b"hello", b"world"], b";a", b"A: b\r\n")) - 1))
def test_a_body_that_ends_early_is_not_complete(length):
    body = ChunkedBody()
    body.feed(chunked([b"hello", b"world"], b";a", b"A: b\r\n")[:length])
    assert not body.is_complete


@pytest.mark.parametrize("feed", [ChunkedBody.feed, read], ids=["whole", "byte-by-byte"])
@pytest.mark.parametrize(
    "stream",
    [
        b"\r\n",
        b"x\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b"1_0\r\n",
        b" 1\r\n",
        b"1 1\r\n",
        b";a\r\n",
        b"1" * 17 + b"\r\n",
        b"\xd9\xa1\r\n",
        b"1\nx\r\n",
        b"1\r\nxy\r\n",
        b"1\r\nx\n\r\n",
        b"1\r\nx\r\r",
        b"1" * 5000,
        b"0\r\n" + b"x" * 5000,
        b"0\r\n\r\nHTTP/1.1 200 OK",
    ],
)
def test_what_is_no_chunk_breaks_the_body(stream, feed):
    body = ChunkedBody()
    feed(body, stream)
    assert body.is_broken


def test_what_came_before_a_chunk_that_is_none_counts():
    body = ChunkedBody()
    assert body.feed(b"5\r\nhello\r\nnonsense\r\n") == b"hello"
    assert body.is_broken


# The other ways in which a body ends.


def test_a_content_length_is_counted():
    body = body_of(head("Content-Length: 5"), "POST")
    assert read(body, b"hell") == b"hell"
    assert not body.is_complete
    assert body.feed(b"o") == b"o"
    assert body.is_complete
    assert not body.ends_with_connection


def test_more_than_the_content_length_breaks_the_body():
    body = body_of(head("Content-Length: 5"), "POST")
    assert body.feed(b"hello!") == b"hello"
    assert body.is_broken


def test_a_content_length_of_0_is_complete_at_once():
    assert body_of(head("Content-Length: 0"), "POST").is_complete


@pytest.mark.parametrize("length", ["", "-1", "+1", "1.0", "0x5", "5, 6", "5 5", "\xb2", "1_0"])
def test_a_content_length_that_is_no_number_is_refused(length):
    with pytest.raises(InvalidResponseError):
        body_of(head(f"Content-Length: {length}"), "POST")


def test_two_content_lengths_that_differ_are_refused():
    with pytest.raises(InvalidResponseError):
        body_of(head("Content-Length: 5", "Content-Length: 6"), "POST")


def test_chunks_count_more_than_a_content_length():
    body = body_of(head("Content-Length: 3", "Transfer-Encoding: chunked"), "POST")
    assert body.feed(chunked([b"hello"])) == b"hello"
    assert body.is_complete


@pytest.mark.parametrize("encoding", ["gzip", "identity", "chunked, gzip", "gzip, chunked"])
def test_a_transfer_encoding_that_is_not_chunked_alone_is_refused(encoding):
    with pytest.raises(InvalidResponseError):
        body_of(head(f"Transfer-Encoding: {encoding}"), "POST")


def test_without_either_a_body_ends_with_its_connection():
    body = body_of(head(), "POST")
    assert body.feed(b"hello") == b"hello"
    assert not body.is_complete
    assert body.ends_with_connection


@pytest.mark.parametrize("framing", ["Content-Length: 5", "Transfer-Encoding: chunked", "X: y"])
@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", "200 OK"), ("GET", "204 No Content"), ("GET", "304 Same")]
)
def test_an_answer_that_may_have_no_body_has_none(method, status, framing):
    body = body_of(head(framing, status_line=f"HTTP/1.1 {status}"), method)
    assert body.is_complete
    assert not body.ends_with_connection
