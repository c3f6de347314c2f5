"""An upstream on a bare socket, for bytes that no server sends on purpose. It runs in threads of the test."""

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable

from benchmarks.ports import free_port

Handler = Callable[[socket.socket, bytes], object]

LAST_CHUNK = b"0\r\n\r\n"


class Connection:
    """One connection that the upstream has accepted."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.requests: list[bytes] = []
        self.closed_at: float | None = None
        """When the peer closed it, by FIN or RST, in monotonic seconds."""


class RawUpstream:
    """Reads each request to its end and gives it to the handler, which sends anything and returns.

    A connection stays open, and is read, until the handler closes it: one that returns in the middle of
    an answer has stalled. While nothing is to be sent the peer's leaving is seen at once.
    """

    def __init__(
        self, handler: Handler | None = None, port: int = 0, address: str = "127.0.0.1"
    ) -> None:
        self.handler: Handler = handler or sends()
        self.connections: list[Connection] = []
        # Of the ports that the kernel gives out itself, one that is closed may soon be another process's.
        self._listener = socket.create_server((address, port or free_port()), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.host = f"{address}:{self.port}"
        self.url = f"http://{self.host}/v1"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> "RawUpstream":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Refuse connections from now on. May be called more than once."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.close_connections()

    @property
    def requests(self) -> list[bytes]:
        return [request for connection in self.connections for request in connection.requests]

    def close_connections(self) -> None:
        """Close all connections, as a server does that restarts, and forget their requests."""
        connections, self.connections = self.connections, []
        for connection in connections:
            hang_up(connection.sock)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(sock)
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        # The handler or the test may close the socket at any moment, and the peer may reset it.
        with contextlib.suppress(OSError), connection.sock:
            while request := self._read_request(connection):
                connection.requests.append(request)
                self.handler(connection.sock, request)

    def _read_request(self, connection: Connection) -> bytes:
        data = b""
        while not _is_whole(data):
            try:
                piece = connection.sock.recv(1 << 20)
            except ConnectionResetError:
                piece = b""
            if not piece:
                connection.closed_at = time.monotonic()
                return b""
            data += piece
        return data


def _is_whole(request: bytes) -> bool:
    head, end, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", head)
    return bool(end) and len(body) >= (int(length[1]) if length else 0)


def target_of(request: bytes) -> str:
    return request.split(b" ", 2)[1].decode("latin-1")


def headers_of(request: bytes) -> dict[str, str]:
    """Return the headers, with names in lower case."""
    lines = request.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines)
    return {name.lower(): value.strip() for name, _, value in pairs}


# Bytes for a handler to send.


def head(status: str = "200 OK", **headers: object) -> bytes:
    lines = [f"HTTP/1.1 {status}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def whole(body: bytes, status: str = "200 OK", **headers: object) -> bytes:
    """Return an answer with a Content-Length; its type is JSON unless the headers say otherwise."""
    headers = {"Content_Type": "application/json", **headers, "Content_Length": len(body)}
    return head(status, **headers) + body


STREAM_HEAD = head(Content_Type="text/event-stream", Transfer_Encoding="chunked")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


# Handlers.


def sends(*pieces: bytes) -> Handler:
    """Send each piece in a write of its own; the connection stays open."""

    def handler(sock: socket.socket, request: bytes) -> None:
        for piece in pieces:
            sock.sendall(piece)

    return handler


def sends_and_closes(*pieces: bytes) -> Handler:
    def handler(sock: socket.socket, request: bytes) -> None:
        sends(*pieces)(sock, request)
        hang_up(sock)

    return handler


def streams(*writes: bytes) -> Handler:
    """Send a whole chunked event stream, with one chunk and one write for each of these."""
    return sends(STREAM_HEAD, *map(chunk, writes), LAST_CHUNK)


def breaks_off(*writes: bytes) -> Handler:
    """Send the same, but close the connection behind the last chunk."""
    return sends_and_closes(STREAM_HEAD, *map(chunk, writes))


def hang_up(sock: socket.socket) -> None:
    """End the connection. A thread that reads from it would keep it open after ``close`` alone."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
