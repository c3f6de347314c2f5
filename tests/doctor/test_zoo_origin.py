"""The zoo's raw origin does what its URL says, read by a bare socket."""

import gzip
import json
import socket
import ssl
import time
import zlib
from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.doctor.zoo.origins.raw_origin import GAUGE, raw_origin, secure_raw_origin
from tests.doctor.zoo.origins.script import path
from tests.support.certificate import make_certificates
from tests.support.server import wait_until
from tests.support.stream import Response, get, post


@pytest.fixture(scope="module")
def origin() -> Iterator["Origin"]:
    with raw_origin() as url:
        yield Origin(url)


class Origin:
    def __init__(self, url: str) -> None:
        self._address = ("127.0.0.1", int(url.rpartition(":")[2]))

    def connect(self) -> socket.socket:
        return socket.create_connection(self._address, 10)

    def ask(self, target: str) -> bytes:
        """All that is sent on one connection; <reset> for an RST."""
        with self.connect() as sock:
            sock.sendall(get(target, Connection="close"))
            received = b""
            try:
                while data := sock.recv(65536):
                    received += data
            except ConnectionResetError:
                return received + b"<reset>"
            return received

    def body(
        self, route: str = "/events", headers: dict[str, str] | None = None, **options: object
    ) -> bytes:
        with self.connect() as sock:
            sock.sendall(get(path(route, **options), **(headers or {})))
            return Response(sock).body()

    def chunks(self, **options: object) -> list[tuple[float, bytes]]:
        """Each chunk, and after how many seconds it came."""
        with self.connect() as sock:
            sock.sendall(get(path(**options), Accept_Encoding="gzip"))
            started, response = time.monotonic(), Response(sock)
            return [(time.monotonic() - started, each) for each in response.chunks()]

    def running(self) -> int:
        with self.connect() as sock:
            sock.sendall(get("/metrics"))
            return int(Response(sock).body().split()[-1])


QUICK = {"interval": 0.0, "events": 3}


# Pace.


def test_without_options_ten_events_come_one_by_one(origin):
    arrivals = origin.chunks()
    assert [json.loads(data[6:])["n"] for _, data in arrivals] == list(range(1, 11))
    assert arrivals[-1][0] - arrivals[0][0] > 0.2


def test_events_say_when_they_were_sent(origin):
    asked_at = time.time()
    arrivals = origin.chunks(stamp="sent_at", events=3, interval=0.3)
    sent_at = [json.loads(data[6:])["sent_at"] for _, data in arrivals]
    assert asked_at <= sent_at[0]
    assert sent_at[-1] <= time.time()
    assert all(later - sooner > 0.29 for sooner, later in pairwise(sent_at))


def test_a_lump_cuts_events(origin):
    arrivals = origin.chunks(lump=4096, size=100, events=80, interval=0.0)
    assert [len(data) for _, data in arrivals[:-1]] == [4096, 4096]
    assert not arrivals[0][1].endswith(b"\n\n")


def test_everything_comes_at_once_at_the_end(origin):
    ((seconds, data),) = origin.chunks(whole=1, events=5, interval=0.02)
    assert seconds > 0.08
    assert data.count(b"data: ") == 5


def test_a_silence_has_comments(origin):
    body = origin.body(silence=0.1, heartbeat=0.02, **QUICK)
    assert body.count(b": keep-alive\n\n") == 5


# Text.


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"bom": 1}, b"\xef\xbb\xbfdata: "),
        ({"newline": "crlf"}, b'data: {"n": 1}\r\n\r\ndata: '),
        ({"newline": "cr"}, b'data: {"n": 1}\r\rdata: '),
        ({"newline": "mixed"}, b'{"n": 1}\n\ndata: {"n": 2}\r\n\r\ndata: {"n": 3}\r\r'),
        ({"odd": "no-data,bad-retry"}, b'{"n": 2}\n\nevent: hint\n\nretry: soon\ndata: '),
        ({"retry": "3000"}, b"retry: 3000\ndata: "),
        ({"terminal": "over"}, b'{"n": 3}\n\nevent: end\ndata: over\n\n'),
    ],
)
def test_text_is_as_the_query_says(origin, options, expected):
    assert expected in origin.body(**QUICK, **options)


def test_the_last_event_lacks_its_blank_line(origin):
    assert origin.body(last="open", **QUICK).endswith(b'data: {"n": 3}\n')


def test_writes_cut_characters_in_two(origin):
    arrivals = origin.chunks(odd="characters", split=1, **QUICK)
    assert {len(data) for _, data in arrivals} == {1}
    assert "漢字" in b"".join(data for _, data in arrivals).decode()


# HTTP.


def test_gzip_is_flushed_for_each_event(origin):
    decompressor = zlib.decompressobj(zlib.MAX_WBITS | 16)
    events = [decompressor.decompress(data) for _, data in origin.chunks(coding="gzip", **QUICK)]
    assert events[:3] == [b'data: {"n": %d}\n\n' % number for number in (1, 2, 3)]


def test_gzip_is_held_back(origin):
    arrivals = origin.chunks(coding="gzip-held", size=1000, events=70, interval=0.0)
    assert len(arrivals) == 3
    assert len(gzip.decompress(arrivals[0][1])) == 32 << 10


def test_a_reader_that_does_not_accept_gzip_gets_none(origin):
    assert origin.body(coding="gzip", **QUICK).startswith(b"data: ")
    assert origin.body(coding="gzip", forced=1, **QUICK).startswith(b"\x1f\x8b")


@pytest.mark.parametrize(
    ("options", "end"),
    [
        ({}, b"\r\n0\r\n\r\n"),
        ({"end": "fin"}, b"\n\n\r\n"),
        ({"end": "half"}, b"longer"),
        ({"end": "rst"}, b"<reset>"),
        ({"version": "1.0"}, b"\n\n"),
        ({"framing": "close"}, b"\n\n"),
        ({"framing": "length"}, b"\n\n"),
    ],
)
def test_the_connection_ends_as_the_query_says(origin, options, end):
    received = origin.ask(path(**QUICK, **options))
    assert received.endswith(end)


def test_the_head_is_as_the_query_says(origin):
    options = {
        "type": "text/plain",
        "cache": "public",
        "header": "X-A: 1|X-B: 2",
        "framing": "twice",
    }
    head = origin.ask(path(**QUICK, **options)).partition(b"\r\n\r\n")[0]
    assert b"Content-Type: text/plain" in head
    assert b"Cache-Control: public" in head
    assert b"X-A: 1\r\nX-B: 2" in head
    assert head.count(b"Transfer-Encoding: chunked") == 2


def test_an_option_that_does_not_exist_is_refused(origin):
    assert origin.ask("/events?evnts=3").startswith(b"HTTP/1.1 400")


# Resuming.


@pytest.mark.parametrize(
    ("resume", "first"), [("exact", 4), ("repeat", 3), ("skip", 5), ("ignored", 1)]
)
def test_a_reader_comes_back_with_an_id(origin, resume, first):
    body = origin.body(headers={"Last_Event_ID": "3"}, ids="ascending", resume=resume)
    assert body.startswith(b"id: %d\n" % first)


@pytest.mark.parametrize(("after_end", "body"), [("204", b""), ("empty", b""), ("again", b"id: 1")])
def test_a_reader_comes_back_after_the_end(origin, after_end, body):
    options = {"ids": "ascending", "after_end": after_end, **QUICK}
    assert origin.body(headers={"Last_Event_ID": "3"}, **options)[:5] == body


# Leaving and load.


def test_a_reader_that_leaves_ends_a_stream_that_has_no_end(origin):
    with origin.connect() as sock:
        sock.sendall(get(path(leaving="at-once", events=0, interval=0.3)))
        Response(sock).chunk()
        assert origin.running() > 0
    wait_until(lambda: origin.running() == 0)


def test_a_reader_that_leaves_unseen_does_not_shorten_the_stream(origin):
    asked_at = time.monotonic()
    with origin.connect() as sock:
        sock.sendall(get(path(leaving="never", events=3, interval=0.3)))
        Response(sock).chunk()
    wait_until(lambda: origin.running() == 0)
    # There are at least two pauses.
    assert time.monotonic() - asked_at > 0.59


def test_the_third_reader_waits_for_a_place(origin):
    with origin.connect() as one, origin.connect() as two, origin.connect() as three:
        for sock in (one, two):
            sock.sendall(get(path(limit=2, events=0)))
            Response(sock).chunk()
        three.sendall(get(path(limit=2, events=0)))
        three.settimeout(0.1)
        with pytest.raises(TimeoutError):
            three.recv(1)
        one.close()
        three.settimeout(10)
        assert Response(three).chunk()


def test_one_that_does_not_read_stops_the_others(origin):
    request = get(path(shared=1, events=0, size=16384, interval=0.001))
    with origin.connect() as idle, origin.connect() as reader:
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        idle.sendall(request)
        reader.sendall(request)
        response = Response(reader)
        reader.settimeout(0.5)
        with pytest.raises(TimeoutError):
            list(response.chunks())


def test_streams_that_run_are_in_the_metrics_under_the_name_that_is_asked_for(origin):
    # A stream of the test before ends when the origin notices that its reader is gone.
    wait_until(lambda: origin.running() == 0)
    assert f"\n{GAUGE} 0".encode() in origin.ask("/metrics")
    name = "vllm:num_requests_running"
    with origin.connect() as sock:
        sock.sendall(get(f"/metrics?name={name}"))
        assert Response(sock).body().startswith(f"# TYPE {name} gauge\n{name} ".encode())


# APIs.


def asked(origin: Origin, route: str, question: dict[str, object], **options: object) -> bytes:
    with origin.connect() as sock:
        sock.sendall(post(path(route, interval=0.0, **options), question))
        return Response(sock).body()


@pytest.mark.parametrize(
    ("options", "end"),
    [
        ({}, b"\n\ndata: [DONE]\n\n"),
        ({"done": 2}, b"\n\ndata: [DONE]\n\ndata: [DONE]\n\n"),
        ({"done": 0}, b'"finish_reason": "stop"}]}\n\n'),
        ({"error": 4}, b'"code": 503}}\n\n'),
        ({"malformed": 10}, b'"cont\n\ndata: [DONE]\n\n'),
    ],
)
def test_a_completion_ends_as_the_query_says(origin, options, end):
    body = asked(origin, "/v1/chat/completions", {"stream": True}, **options)
    assert body.endswith(end)


def test_a_message_of_anthropics_has_its_six_kinds_of_events(origin):
    body = asked(origin, "/v1/messages", {"stream": True})
    assert body.startswith(b"event: message_start\n")
    assert body.endswith(b'event: message_stop\ndata: {"type": "message_stop"}\n\n')


def test_a_tool_reports_its_progress_and_its_result(origin):
    body = asked(origin, "/mcp", {"jsonrpc": "2.0", "id": 7, "method": "tools/call"})
    assert body.count(b"notifications/progress") == 10
    assert b'"id": 7, "result"' in body


@pytest.mark.parametrize("status", [401, 403, 404, 405, 429, 500, 503])
def test_a_refusal_has_its_status(origin, status):
    assert origin.ask(path(status=status)).startswith(b"HTTP/1.1 %d" % status)


def test_the_same_over_tls(tmp_path):
    with secure_raw_origin(make_certificates(tmp_path)["good"]) as url:
        context = ssl.create_default_context(cafile=tmp_path / "good")
        with (
            socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as sock,
            context.wrap_socket(sock, server_hostname="127.0.0.1") as tls,
        ):
            tls.sendall(get(path(**QUICK)))
            assert Response(tls).body().count(b"data: ") == 3
