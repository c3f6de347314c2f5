"""The two ends of a crowd: the readers who open its streams, and the upstream that feeds them.

Each is one process with one epoll loop, so that neither is what is measured.

Run: python -m benchmarks.crowd_load upstream PORT
     python -m benchmarks.crowd_load readers PLAN, as JSON; prints one line of JSON
"""

import json
import select
import socket
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.event import DONE, event

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_END = b"0\r\n\r\n"
_VISIT_EVENTS = 5
_READ_BYTES = 16384
_ERRORS_KEPT = 5
_SOURCE_ADDRESSES = 8
_IP_BIND_ADDRESS_NO_PORT = 24  # Linux, since 4.2
TICKS_PER_SECOND = 1000
"""Times are counted by whole milliseconds: six million gaps are too many to be kept."""


@dataclass(frozen=True)
class Plan:
    """Who comes when. Bodies are those of the requests.

    seconds: how long all are there at once, and visitors, who leave after a short answer, come beside them
    rate: events per second of each paced stream
    settle_seconds: after the idle streams were opened or closed, so that what that took is let go of
    waves: how often the idle streams are opened and closed
    """

    port: int
    idle: int
    idle_body: str
    paced: int
    paced_body: str
    visit_body: str
    rate: int
    seconds: float
    idle_opened_per_second: int
    keepalive_seconds: float
    settle_seconds: float
    paced_opened_per_second: int = 100
    visits_per_second: int = 5
    waves: int = 2


@dataclass
class Seen:
    """What the readers saw while all were there; times in seconds, or counted by milliseconds.

    first_events: of streams that were opened beside the idle ones, from the request
    gaps: between reads that brought events of one paced stream
    keepalives_late: by how much later than due the keep-alives of the idle streams came
    keepalives_missing: that should have come and did not
    marks: when each phase began (monotonic)
    """

    events: int = 0
    keepalives: int = 0
    keepalives_missing: int = 0
    first_events: list[float] = field(default_factory=list)
    gaps: Counter[int] = field(default_factory=Counter)
    keepalives_late: Counter[int] = field(default_factory=Counter)
    error_count: int = 0
    errors: list[str] = field(default_factory=list)
    marks: dict[str, float] = field(default_factory=dict)
    own_cpu_seconds: float = 0.0


class Stream:
    """One reader's connection."""

    __slots__ = ("asked_at", "first_event_at", "kind", "last_at", "sock", "tail")

    def __init__(self, kind: str, sock: socket.socket, asked_at: float) -> None:
        self.kind = kind
        self.sock = sock
        self.asked_at = asked_at
        self.first_event_at = 0.0
        self.last_at = 0.0
        self.tail = b""


class Readers:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._requests = {
            "idle": _request(plan.idle_body),
            "paced": _request(plan.paced_body),
            "visit": _request(plan.visit_body),
        }
        self._streams: dict[int, Stream] = {}
        self._epoll = select.epoll()
        self._opened = 0
        self._is_measuring = False
        self.seen = Seen()

    def run(self) -> Seen:
        plan = self._plan
        for wave in range(plan.waves):
            self._mark(f"opening {wave}")
            self._open("idle", plan.idle, plan.idle_opened_per_second)
            self._read_for(plan.settle_seconds)
            self._mark(f"idle {wave}")
            if wave == 0:
                self._meet()
            self._check_that_all_are_there()
            self._mark(f"closing {wave}")
            self._close_all()
            self._read_for(plan.settle_seconds)
        self._mark("end")
        return self.seen

    def _meet(self) -> None:
        """All at once."""
        plan = self._plan
        self._open("paced", plan.paced, plan.paced_opened_per_second)
        self._mark("all")
        self._is_measuring = True
        cpu = time.process_time()
        self._open("visit", int(plan.visits_per_second * plan.seconds), plan.visits_per_second)
        self._is_measuring = False
        self.seen.own_cpu_seconds = time.process_time() - cpu
        self._mark("all end")

    def _mark(self, name: str) -> None:
        self.seen.marks[name] = time.monotonic()

    def _open(self, kind: str, count: int, per_second: int) -> None:
        started_at = time.monotonic()
        for number in range(count):
            self._read_until(started_at + number / per_second)
            self._connect(kind)
        self._read_until(started_at + count / per_second)

    def _connect(self, kind: str) -> None:
        sock = socket.socket()
        # One address has 28,000 ports, and those of the last wave are not free yet.
        sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((f"127.0.0.{2 + self._opened % _SOURCE_ADDRESSES}", 0))
        self._opened += 1
        asked_at = time.monotonic()
        sock.connect(("127.0.0.1", self._plan.port))
        sock.send(self._requests[kind])
        sock.setblocking(False)
        self._streams[sock.fileno()] = Stream(kind, sock, asked_at)
        self._epoll.register(sock, select.EPOLLIN)

    def _read_for(self, seconds: float) -> None:
        self._read_until(time.monotonic() + seconds)

    def _read_until(self, until: float) -> None:
        while True:
            left = until - time.monotonic()
            for fd, _ in self._epoll.poll(max(left, 0)):
                self._read(self._streams[fd])
            if left <= 0:
                return

    def _read(self, stream: Stream) -> None:
        try:
            data = stream.sock.recv(_READ_BYTES)
        except OSError as error:
            self._fail(stream, str(error))
            return
        now = time.monotonic()
        if not data:
            self._fail(stream, "the connection ended")
            return
        is_refused = not (stream.tail or data.startswith(b"HTTP/1.1 200"))
        if is_refused or b'"error"' in data:
            self._fail(stream, data[:300].decode("latin-1"))
            return
        events = data.count(b"}\n\n")
        if stream.kind == "idle":
            self._note_keepalives(stream, data.count(b": keep-alive\n"), now)
        elif events:
            self._note_events(stream, events, now)
        stream.tail = data[-len(_END) :]
        if stream.tail == _END:
            if stream.kind != "visit":
                self._fail(stream, "it ended before its time")
            else:
                self._leave(stream)

    def _note_events(self, stream: Stream, events: int, now: float) -> None:
        if not stream.first_event_at:
            stream.first_event_at = now
            self.seen.first_events.append(now - stream.asked_at)
        if self._is_measuring:
            self.seen.events += events
            if stream.kind == "paced":
                self.seen.gaps[int((now - stream.last_at) * TICKS_PER_SECOND)] += 1
        stream.last_at = now

    def _note_keepalives(self, stream: Stream, keepalives: int, now: float) -> None:
        if keepalives and stream.last_at:
            late = now - stream.last_at - self._plan.keepalive_seconds
            self.seen.keepalives += keepalives
            self.seen.keepalives_late[int(late * TICKS_PER_SECOND)] += 1
        stream.last_at = now

    def _check_that_all_are_there(self) -> None:
        """None has fallen silent, which would be no error by itself."""
        now = time.monotonic()
        for stream in self._streams.values():
            silence = now - (stream.last_at or stream.asked_at)
            if stream.kind == "idle":
                self.seen.keepalives_missing += silence > self._plan.keepalive_seconds + 1
            elif silence > 1:
                self._note_error(f"a {stream.kind} stream has stopped")

    def _fail(self, stream: Stream, reason: str) -> None:
        self._note_error(f"{stream.kind}: {reason}")
        self._leave(stream)

    def _note_error(self, error: str) -> None:
        self.seen.error_count += 1
        if len(self.seen.errors) < _ERRORS_KEPT:
            self.seen.errors.append(error)

    def _leave(self, stream: Stream) -> None:
        del self._streams[stream.sock.fileno()]
        stream.sock.close()

    def _close_all(self) -> None:
        for stream in list(self._streams.values()):
            self._leave(stream)


def _request(body: str) -> bytes:
    return (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nUser-Agent: benchmark\r\n"
        "Accept: text/event-stream\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


class Upstream:
    """Answers by the request's model: "idle" one event and then silence, "prefill" nothing, "visit" a short
    answer, or a number: so many events per second, all of these streams in turn."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=8192)
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._connections: dict[int, socket.socket] = {}
        self._paced: list[socket.socket] = []
        self._place = 0
        self._rate = 0
        self._due_at = 0.0

    def run(self) -> None:
        while True:
            wait = max(self._due_at - time.monotonic(), 0) if self._paced else -1
            for fd, _ in self._epoll.poll(wait):
                if fd == self._listener.fileno():
                    self._accept()
                else:
                    self._answer(self._connections[fd])
            self._send_what_is_due()

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self._connections[sock.fileno()] = sock
        self._epoll.register(sock, select.EPOLLIN)

    def _answer(self, sock: socket.socket) -> None:
        try:
            request = sock.recv(65536)
        except ConnectionError:
            request = b""
        if not request:
            self._drop(sock)
            return
        # Sluice sends a request in one piece, and one this small arrives in one.
        model = json.loads(request.partition(b"\r\n\r\n")[2])["model"]
        if model == "idle":
            sock.send(_HEAD + _chunk(event(0)))
        elif model == "visit":
            events = b"".join(_chunk(event(number)) for number in range(_VISIT_EVENTS))
            sock.send(_HEAD + events + _chunk(DONE) + _END)
        elif model != "prefill":
            sock.send(_HEAD)
            self._rate = int(model)
            self._due_at = self._due_at or time.monotonic()
            self._paced.append(sock)

    def _drop(self, sock: socket.socket) -> None:
        del self._connections[sock.fileno()]
        if sock in self._paced:
            self._paced.remove(sock)
            self._place = 0
        sock.close()

    def _send_what_is_due(self) -> None:
        now = time.monotonic()
        while self._paced and self._due_at <= now:
            self._place = (self._place + 1) % len(self._paced)
            self._due_at += 1 / (self._rate * len(self._paced))
            try:
                self._paced[self._place].send(_chunk(event(self._place)))
            except OSError:  # The relay has left, or reads so slowly that its buffers are full.
                self._drop(self._paced[self._place])


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


if __name__ == "__main__":
    role, argument = sys.argv[1:]
    if role == "upstream":
        Upstream(int(argument)).run()
    print(json.dumps(vars(Readers(Plan(**json.loads(argument))).run())))
