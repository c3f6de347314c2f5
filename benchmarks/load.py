"""Opens streams and counts what comes. Cheap: it counts one byte of every event and looks for nothing else.

Run: python -m benchmarks.load JSON, of a ``Load``; prints one line of JSON, of a ``Result``.
"""

import json
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit

from benchmarks.event import EVENT_MARK, SEND_TIME_DIGITS, SEND_TIME_MARK
from benchmarks.usage import Memory, Usage, memory_of

_END = b"0\r\n\r\n"
_TIMEOUT_SECONDS = 60
_OPENING_AT_ONCE = 64
"""Streams that have no event yet: more would overflow the queue in which servers keep connections to accept."""
_STALL_SECONDS = 5
"""Without a new stream: those that have no event yet are given up. httpx loses a request now and then after clients left."""
_SETTLE_SECONDS = 0.3
_CLOSE_WITH_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Load:
    """What is asked of a server.

    url, body: of each request. Without a body it is a GET; ``NUMBER`` in the URL becomes that of the stream
    concurrent: streams open at a time
    answers: so many in all; 0: as many as are concurrent, and they are left open
    window_seconds: of streams that are left open, how long they are counted once all are there
    has_send_times: whether events carry the time of their sending
    server_pid, upstream_pid, other_pids: whose CPU time is told
    """

    url: str
    body: str
    concurrent: int
    server_pid: int
    upstream_pid: int | None
    answers: int = 0
    window_seconds: float = 0.0
    has_send_times: bool = True
    other_pids: tuple[int, ...] = ()

    @property
    def may_be_lost(self) -> int:
        """With more streams lost than this, what is left is no measurement.

        Go 1.19's proxy now and then closes its own connection to the upstream ("use of closed network connection"), and
        so one stream in tens of thousands: that is told, and is not to end ten minutes of measuring.
        """
        return max(self.concurrent // 100, 1)


@dataclass
class Result:
    """What came of it. Times in seconds.

    events: of answers, all; of streams left open, those within the window
    errors: refused answers; of streams that were to be left open, those that were refused, closed or never had an event
    first_events: from an answer's request to its first event
    first_event_spread: from the first of all first events to the last, where each reader asks once
    delays: from an event's sending by the upstream to its arrival
    usage: of the same time as events
    memory: of the server, with the streams left open
    """

    answers: int = 0
    events: int = 0
    errors: int = 0
    first_event_spread: float = 0.0
    first_events: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    usage: Usage = field(default_factory=lambda: Usage(0, 0, 0, 0))
    memory: Memory = field(default_factory=lambda: Memory(0, 0, 0))

    @classmethod
    def from_json(cls, text: bytes) -> "Result":
        fields = json.loads(text)
        fields["usage"] = Usage(**fields["usage"])
        fields["memory"] = Memory(**fields["memory"])
        return cls(**fields)


class RefusedError(Exception):
    """The answer is not a stream."""


class Reader:
    """One connection, asking again and again."""

    def __init__(self, load: Load, number: int = 0) -> None:
        parts = urlsplit(load.url.replace("NUMBER", str(number)))
        self.sock = socket.create_connection((parts.hostname, parts.port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # No TIME_WAIT: ten thousand streams at a time would use up the ports.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSE_WITH_RESET)
        self.receive = self.sock.recv
        self.first_event_at = 0.0
        self.asked_at = 0.0
        self._host = parts.netloc
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        request = f"{'POST' if load.body else 'GET'} {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        if load.body:
            request += f"Content-Type: application/json\r\nContent-Length: {len(load.body)}\r\n"
        self._request = f"{request}\r\n{load.body}".encode()
        self._head = b""
        self._tail = b""

    def ask(self) -> None:
        self._head = self._tail = b""
        self.first_event_at = 0.0
        self.asked_at = time.monotonic()
        self.sock.sendall(self._request)

    def read(self) -> int:
        """Returns how many events came. Raises RefusedError."""
        data = self.receive(262144)
        if not data:
            raise RefusedError("the connection was closed")
        self._tail = (self._tail + data[-8:])[-8:]
        if not self.first_event_at and not self._is_past_head(data):
            return 0
        events = data.count(EVENT_MARK)
        if events and not self.first_event_at:
            self.first_event_at = time.monotonic()
        return events

    @property
    def is_at_end(self) -> bool:
        return self._tail.endswith(_END)

    def _is_past_head(self, data: bytes) -> bool:
        self._head += data
        if self._head.startswith(b"HTTP/1.1 201"):
            self._read_what_was_created()
            return False
        if not self._head.startswith(b"HTTP/1.1 200"):
            raise RefusedError(self._head[:80].decode(errors="replace"))
        return True

    def _read_what_was_created(self) -> None:
        """A resumable stream: the answer to the POST says where it is to be read."""
        head, _, body = self._head.partition(b"\r\n\r\n")
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if len(body) == int(fields[b"Content-Length"]):
            self._head = self._tail = b""
            path = fields[b"Location"].decode()
            self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())


class Readers:
    """Those of one load, and what waits for all of them."""

    def __init__(self) -> None:
        self._by_fd: dict[int, Reader] = {}
        self._poll = select.epoll()

    def __enter__(self) -> "Readers":
        return self

    def __exit__(self, *_: object) -> None:
        for reader in self._by_fd.values():
            reader.sock.close()

    def add(self, reader: Reader) -> None:
        self._by_fd[reader.sock.fileno()] = reader
        self._poll.register(reader.sock, select.EPOLLIN)

    def remove(self, reader: Reader) -> None:
        self._poll.unregister(reader.sock)
        del self._by_fd[reader.sock.fileno()]
        reader.sock.close()

    def ready(self, timeout_seconds: float = _TIMEOUT_SECONDS) -> Iterator[Reader]:
        for fd, _ in self._poll.poll(timeout_seconds):
            yield self._by_fd[fd]

    def ready_in_time(self) -> list[Reader]:
        ready = list(self.ready())
        if not ready:
            raise TimeoutError(f"nothing came for {_TIMEOUT_SECONDS} s")
        return ready


def read_answers(load: Load) -> Result:
    """Asks for ``load.answers``, reading each to its end."""
    result = Result()
    first_events_at = []
    with Readers() as readers:
        all_readers = [Reader(load) for _ in range(load.concurrent)]
        before = _usage(load)
        for reader in all_readers:
            readers.add(reader)
            reader.ask()
        asked = running = load.concurrent
        while running:
            for reader in readers.ready_in_time():
                try:
                    result.events += reader.read()
                    if not reader.is_at_end:
                        continue
                    result.events -= 1  # [DONE]
                    result.first_events.append(reader.first_event_at - reader.asked_at)
                    first_events_at.append(reader.first_event_at)
                except (RefusedError, ConnectionError) as error:
                    print(error, file=sys.stderr)
                    result.errors += 1
                    readers.remove(reader)
                    running -= 1
                    continue
                result.answers += 1
                if asked < load.answers:
                    asked += 1
                    reader.ask()
                else:
                    running -= 1
                    readers.remove(reader)
        result.usage = _usage(load).since(before)
    if first_events_at:
        result.first_event_spread = max(first_events_at) - min(first_events_at)
    return result


def read_open_streams(load: Load) -> Result:
    """Opens ``load.concurrent`` streams and counts what comes of them all within the window."""
    result = Result()
    with Readers() as readers:
        opened = _open_streams(load, readers)
        settling = Result(errors=load.concurrent - len(opened))
        _read_until(time.monotonic() + _SETTLE_SECONDS, readers, load, settling)
        result.errors = settling.errors
        before = _usage(load)
        _read_until(time.monotonic() + load.window_seconds, readers, load, result)
        result.usage = _usage(load).since(before)
        result.memory = memory_of(load.server_pid)
    result.first_events = [reader.first_event_at - reader.asked_at for reader in opened]
    result.answers = len(opened)
    return result


def _usage(load: Load) -> Usage:
    return Usage.now(load.server_pid, load.upstream_pid, load.other_pids)


def _open_streams(load: Load, readers: Readers) -> list[Reader]:
    """Those of ``load.concurrent`` that have had their first event.

    Raises RefusedError or ConnectionError if more are refused or closed than may be lost.
    """
    opened: list[Reader] = []
    waiting: set[Reader] = set()
    asked = lost = 0
    progress_at = time.monotonic()
    while waiting or asked < load.concurrent:
        while asked < load.concurrent and len(waiting) < _OPENING_AT_ONCE:
            waiting.add(_open(load, readers, asked))
            asked += 1
        for reader in readers.ready_in_time():
            try:
                reader.read()
            except (RefusedError, ConnectionError):
                lost += 1
                if lost > load.may_be_lost:
                    raise
                readers.remove(reader)
                (waiting if reader in waiting else opened).remove(reader)
                continue
            if reader in waiting and reader.first_event_at:
                waiting.remove(reader)
                opened.append(reader)
                progress_at = time.monotonic()
        if time.monotonic() - progress_at > _STALL_SECONDS:
            for reader in waiting:
                readers.remove(reader)
            break
    return opened


def _open(load: Load, readers: Readers, number: int) -> Reader:
    reader = Reader(load, number)
    readers.add(reader)
    reader.ask()
    return reader


def _read_until(end: float, readers: Readers, load: Load, result: Result) -> None:
    while (left := end - time.monotonic()) > 0:
        for reader in readers.ready(left):
            try:
                data = reader.receive(262144)
            except ConnectionError:
                data = b""
            result.events += data.count(EVENT_MARK)
            if not data:
                result.errors += 1
                if result.errors > load.may_be_lost:
                    raise RefusedError("streams ended that should not")
                readers.remove(reader)
                continue
            if load.has_send_times:
                # One of each read: with streams that are paced it is the only one.
                place = data.find(SEND_TIME_MARK) + len(SEND_TIME_MARK)
                sent_ns = data[place : place + SEND_TIME_DIGITS]
                if sent_ns.isdigit():
                    result.delays.append((time.monotonic_ns() - int(sent_ns)) / 1e9)


if __name__ == "__main__":
    load = Load(**json.loads(sys.argv[1]))
    result = read_answers(load) if load.answers else read_open_streams(load)
    print(json.dumps(asdict(result)))
