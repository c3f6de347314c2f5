"""The insides of urllib3 and http.client that the client relies on, which a new release could change."""

import io
import zlib

import pytest

from flask_sluice.client import TruncatedError, response
from tests.client.answers import DONE, failure_of, post, texts
from tests.server.raw_upstream import (
    LAST_CHUNK,
    STREAM_HEAD,
    chunk,
    head,
    sends,
    sends_and_closes,
    streams,
    whole,
)

SOCKET_METHODS = {"sendall", "makefile", "settimeout", "close"}
OPTIONAL_METHODS = {"shutdown"}
"""urllib3 looks for it, and does without it."""


@pytest.fixture
def before_urllib3_2_2(monkeypatch):
    """Takes the way for urllib3 2.0 and 2.1, which newer releases can go as well."""
    monkeypatch.setattr(response, "HAS_READ1", False)


def test_urllib3_uses_only_these_methods_of_the_socket(server, client, monkeypatch):
    used = set()

    class Recorder(response._Socket):
        def __getattribute__(self, name):
            # The reader of the file that makefile() returns uses those of every file.
            if not hasattr(io.RawIOBase, name) or name == "close":
                used.add(name)
            return super().__getattribute__(name)

    monkeypatch.setattr(response, "_Socket", Recorder)
    server.handler = streams(DONE)
    texts(post(client))
    public = {name for name in used if not name.startswith("_")}
    assert public - {"has_ended"} <= SOCKET_METHODS | OPTIONAL_METHODS
    assert {"sendall", "makefile"} <= public


def test_without_read1_events_come_as_they_arrive(before_urllib3_2_2, server, client, gate):
    def handler(sock, request):
        sock.sendall(STREAM_HEAD + b"9\r\ndata: a\n\n")  # A chunk without its end.
        gate.wait()
        sock.sendall(b"\r\n" + chunk(DONE) + LAST_CHUNK)

    server.handler = handler
    with post(client) as stream:
        assert next(stream).data == "a"
        gate.set()
        assert texts(stream) == []


@pytest.mark.parametrize("is_chunked", [True, False])
def test_without_read1_compressed_events_come_as_they_arrive(
    before_urllib3_2_2, server, client, gate, is_chunked
):
    compressor = zlib.compressobj(wbits=31)
    first = compressor.compress(b"data: a\n\n") + compressor.flush(zlib.Z_SYNC_FLUSH)
    rest = compressor.compress(DONE) + compressor.flush()
    headers = {"Content_Type": "text/event-stream", "Content_Encoding": "gzip"}
    if is_chunked:
        headers["Transfer_Encoding"] = "chunked"
        first, rest = chunk(first), chunk(rest) + LAST_CHUNK

    def handler(sock, request):
        sock.sendall(head(**headers) + first)
        gate.wait()
        sends_and_closes(rest)(sock, request)

    server.handler = handler
    with post(client) as stream:
        assert next(stream).data == "a"
        gate.set()
        assert texts(stream) == []


def test_without_read1_a_body_that_is_short_of_its_length_is_an_error(
    before_urllib3_2_2, server, client
):
    complete = whole(b"data: a\n\ndata: b\n\n", Content_Type="text/event-stream")
    server.handler = sends_and_closes(complete[:-9])
    error = failure_of(post(client))
    assert [event.data for event in error.events] == ["a"]
    assert "it ended before the body did" in str(error)


def test_without_read1_a_body_that_ends_is_read_to_its_end(before_urllib3_2_2, server, client):
    server.handler = sends(whole(b"data: a\n\n", Content_Type="text/event-stream"))
    assert isinstance(failure_of(post(client)), TruncatedError)
