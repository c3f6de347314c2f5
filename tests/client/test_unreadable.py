"""Bodies that cannot be read directly: other content types, and compression that was not asked for."""

import gzip
import zlib

import pytest

from flask_sluice.client import TransportError, UnreadableError
from tests.client.answers import DONE, failure_of, post, texts
from tests.server.raw_upstream import (
    LAST_CHUNK,
    STREAM_HEAD,
    chunk,
    head,
    headers_of,
    sends,
    sends_and_closes,
    streams,
    whole,
)

HTML = b"\n <!DOCTYPE html>\n<title>Sign in</title>" + b" " * 3000


@pytest.mark.parametrize(
    "response",
    [
        whole(HTML, Content_Type="text/html; charset=utf-8"),
        head(Transfer_Encoding="chunked")
        + b"".join(chunk(bytes([byte])) for byte in HTML)
        + LAST_CHUNK,
        head() + HTML,
    ],
    ids=["as-html", "without-a-type", "without-type-and-length"],
)
def test_html_is_an_error_that_quotes_its_beginning(server, client, response):
    server.handler = sends_and_closes(response)
    error = failure_of(post(client))
    assert isinstance(error, UnreadableError)
    assert "HTML" in str(error)
    assert "<!DOCTYPE html> <title>Sign in</title>" in str(error)
    assert error.beginning == HTML[:1024]


def test_another_content_type_is_an_error_that_names_it(server, client):
    server.handler = sends(whole(b"data: a\n\n", Content_Type="text/plain"))
    error = failure_of(post(client))
    assert isinstance(error, UnreadableError)
    assert str(error) == "the answer is of type text/plain, not a stream: data: a"


def test_control_characters_in_an_error_are_replaced(server, client):
    server.handler = sends(whole(b"\x1b[2J\n\x07x", Content_Type="text/html"))
    assert str(failure_of(post(client))).endswith(": \ufffd[2J \ufffdx")


def test_a_content_type_that_was_sent_twice_is_read_as_browsers_do(server, client):
    twice = STREAM_HEAD[:-2] + b"content-type: text/event-stream; charset=utf-8\r\n\r\n"
    server.handler = sends(twice, chunk(b"data: a\n\n" + DONE), LAST_CHUNK)
    assert texts(post(client)) == ["a"]


# Compression.


@pytest.mark.parametrize("encoding", ["none", "identity", "utf-8", "None, identity"])
def test_a_content_encoding_that_is_none_is_no_obstacle(server, client, encoding):
    body = whole(DONE, Content_Type="text/event-stream", Content_Encoding=encoding)
    server.handler = sends(body)
    assert texts(post(client)) == []


def test_the_client_asks_for_no_compression(server, client):
    server.handler = streams(DONE)
    texts(post(client))
    assert headers_of(server.requests[0])["accept-encoding"] == "identity"


def test_gzip_that_was_not_asked_for_is_decoded_as_it_arrives(server, client, gate):
    compressor = zlib.compressobj(wbits=31)
    first = compressor.compress(b"data: a\n\n") + compressor.flush(zlib.Z_SYNC_FLUSH)
    rest = compressor.compress(DONE) + compressor.flush()
    encoded = STREAM_HEAD[:-2] + b"Content-Encoding: gzip\r\n\r\n"

    def handler(sock, request):
        sock.sendall(encoded + chunk(first))
        gate.wait()
        sock.sendall(chunk(rest) + LAST_CHUNK)

    server.handler = handler
    with post(client) as stream:
        assert next(stream).data == "a"
        gate.set()
        assert texts(stream) == []


def test_gzip_with_a_high_ratio_is_read_in_pieces(server, client):
    event = b"data: " + b"x" * 1_000_000 + b"\n\n"
    body = gzip.compress(event * 5 + DONE)
    server.handler = sends(whole(body, Content_Type="text/event-stream", Content_Encoding="gzip"))
    assert [len(text) for text in texts(post(client))] == [1_000_000] * 5


def test_an_unknown_compression_is_refused(server, client):
    body = whole(b"...", Content_Type="text/event-stream", Content_Encoding="compress")
    server.handler = sends(body)
    assert "compressed" in str(failure_of(post(client)))


def test_broken_gzip_is_a_transport_error(server, client):
    body = whole(b"no gzip", Content_Type="text/event-stream", Content_Encoding="gzip")
    server.handler = sends(body)
    assert isinstance(failure_of(post(client)), TransportError)
