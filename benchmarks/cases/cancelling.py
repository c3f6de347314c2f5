"""A client leaves: how long it takes until the upstream sees its own connection closed.

This process is both the client and the upstream.
"""

import socket
import time

from benchmarks.bench import Bench
from benchmarks.event import EVENT_MARK, event_chunk
from benchmarks.figures import percentile
from benchmarks.measure import CHAT
from benchmarks.report import Section, Table
from benchmarks.servers import Start

_NEVER_SECONDS = 1.0
_TRIES_IF_NEVER = 3
_HEADERS_SECONDS = 0.01
_TIMEOUT_SECONDS = 10.0
_BODY = b'{"model": "any", "stream": true, "messages": []}'
_REQUEST = (
    b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
    % (CHAT.encode(), len(_BODY), _BODY)
)
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def cancelling(bench: Bench) -> Section:
    count = bench.scale.cancels
    rows = []
    for name, start in (bench.fast | bench.slow).items():
        rows.append([name])
        for events_before in (0, 1):
            times = cancel_seconds(start, count, events_before)
            for percent in (50, 99):
                rows[-1].append(f"{percentile(times, percent) * 1e3:.2f}" if times else "never")
    columns = ["", "before its first event: p50, ms", "p99, ms", "after it: p50, ms", "p99, ms"]
    return Section(
        "From a client's leaving to the upstream's seeing it",
        f"{count} clients, one after the other, leave while the upstream, after its headers or its first event, is silent. Never: not within a second. Such a "
        "server learns of it when it next has something to write.",
        [Table(columns, rows)],
    )


def cancel_seconds(start: Start, count: int, events_before: int) -> list[float]:
    """Of clients that leave one after the other, each ``events_before`` events into an answer that has gone silent.

    Empty if the upstream saw nothing within a second.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        listener.settimeout(_TIMEOUT_SECONDS)
        with start(listener.getsockname()[1]) as server:
            times: list[float] = []
            tries = 0
            while len(times) < count and (times or tries < _TRIES_IF_NEVER):
                tries += 1
                seconds = _leave_once(listener, server.port, events_before)
                if seconds is not None:
                    times.append(seconds)
            return times


def _leave_once(listener: socket.socket, port: int, events_before: int) -> float | None:
    client = socket.create_connection(("127.0.0.1", port), _TIMEOUT_SECONDS)
    with client:
        client.sendall(_REQUEST)
        upstream, _ = listener.accept()
        with upstream:
            upstream.settimeout(_TIMEOUT_SECONDS)
            request = b""
            while not request.endswith(_BODY):
                request += upstream.recv(65536)
            upstream.sendall(_HEAD + event_chunk(0) * events_before)
            if events_before:
                _read_until(client, EVENT_MARK)
            else:
                # Some relays pass headers on at once, some with the first event: from outside there is nothing to wait for.
                time.sleep(_HEADERS_SECONDS)
            return _seconds_until_closed(client, upstream)


def _read_until(client: socket.socket, mark: bytes) -> None:
    received = b""
    while mark not in received:
        data = client.recv(65536)
        if not data:
            raise RuntimeError("the answer ended early")
        received += data


def _seconds_until_closed(client: socket.socket, upstream: socket.socket) -> float | None:
    upstream.settimeout(_NEVER_SECONDS)
    left_at = time.monotonic()
    client.close()
    try:
        upstream.recv(1)
    except TimeoutError:
        return None
    except ConnectionError:
        pass
    return time.monotonic() - left_at
