"""Opens streams and counts what comes. Cheap: it looks for the ends of events and for nothing else.

Run: python -m benchmarks.load URL MODEL CONCURRENT ANSWERS; prints one line of JSON.
"""

import json
import select
import socket
import sys
import time
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit

_END = b"0\r\n\r\n"
_TIMEOUT_SECONDS = 60


@dataclass
class Result:
    """Of one load, in seconds.

    first_events: from an answer's request to its first event
    first_event_spread: from the first of all first events to the last; means something where each reader asks once
    gaps: between reads that brought events of one answer
    own_cpu: what this process took itself
    """

    answers: int = 0
    events: int = 0
    errors: int = 0
    duration: float = 0.0
    own_cpu: float = 0.0
    first_event_spread: float = 0.0
    first_events: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)


class Reader:
    """One connection, asking again and again."""

    def __init__(self, address: tuple[str, int], request: bytes, result: Result) -> None:
        self.sock = socket.create_connection(address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.first_event_at = 0.0
        self._request = request
        self._result = result
        self._tail = b""
        self._created = b""
        self._asked_at = 0.0
        self._event_at = 0.0

    def ask(self) -> None:
        self._tail = b""
        self._event_at = 0.0
        self._asked_at = time.monotonic()
        self.sock.sendall(self._request)

    def read(self) -> bool:
        """Returns whether the answer is over."""
        data = self.sock.recv(262144)
        if self._created or data.startswith(b"HTTP/1.1 201"):
            self._read_what_was_created(data)
            return False
        if not data or not (self._tail or data.startswith(b"HTTP/1.1 200")):
            self._result.errors += 1
            return True
        events = data.count(b"}\n\n")
        if events:
            self._result.events += events
            self._note_time(time.monotonic())
        self._tail = (self._tail + data[-8:])[-8:]
        return self._tail.endswith(_END)

    def _read_what_was_created(self, data: bytes) -> None:
        """A resumable stream: the answer to the POST says where it is to be read."""
        self._created += data
        head, _, body = self._created.partition(b"\r\n\r\n")
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if len(body) == int(fields[b"Content-Length"]):
            self._created = b""
            request = b"GET %b HTTP/1.1\r\nHost: benchmark\r\n\r\n" % fields[b"Location"]
            self.sock.sendall(request)

    def _note_time(self, now: float) -> None:
        if self._event_at:
            self._result.gaps.append(now - self._event_at)
        else:
            self._result.first_events.append(now - self._asked_at)
            self.first_event_at = now
        self._event_at = now


def run(url: str, model: str, concurrent: int, answers: int) -> Result:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    body = json.dumps({"model": model, "stream": True, "messages": []})
    request = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
    result = Result()
    readers = [Reader((parts.hostname, parts.port), request, result) for _ in range(concurrent)]
    by_fd = {reader.sock.fileno(): reader for reader in readers}
    poll = select.epoll()
    started_at, started_cpu = time.monotonic(), time.process_time()
    for fd, reader in by_fd.items():
        poll.register(fd, select.EPOLLIN)
        reader.ask()
    asked, running = concurrent, concurrent
    while running:
        ready = poll.poll(_TIMEOUT_SECONDS)
        if not ready:
            raise TimeoutError(f"nothing came for {_TIMEOUT_SECONDS} s")
        for fd, _ in ready:
            if not by_fd[fd].read():
                continue
            result.answers += 1
            if asked < answers:
                asked += 1
                by_fd[fd].ask()
            else:
                running -= 1
                poll.unregister(fd)
    result.duration = time.monotonic() - started_at
    result.own_cpu = time.process_time() - started_cpu
    first_events_at = [reader.first_event_at for reader in readers]
    result.first_event_spread = max(first_events_at) - min(first_events_at)
    for reader in readers:
        reader.sock.close()
    return result


if __name__ == "__main__":
    url, model, concurrent, answers = sys.argv[1:]
    print(json.dumps(asdict(run(url, model, int(concurrent), int(answers)))))
