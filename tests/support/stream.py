"""A client that speaks HTTP/1.1 over a bare socket, so that a test sees what is on the wire."""

import abc
import json
import socket
import struct
from collections.abc import Iterator
from typing import Any, Protocol


class Connects(Protocol):
    """A server, or nginx in front of one."""

    def connect(self) -> socket.socket: ...


def get(path: str, **headers: str) -> bytes:
    return _request("GET", path, b"", headers)


def post(path: str, body: object, **headers: str) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return _request("POST", path, data, {"Content_Type": "application/json", **headers})


def _request(method: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chat(content: str = "hi", *, stream: bool = True, **fields: object) -> dict[str, object]:
    """The body of a chat completion; the keywords are further fields, such as ``simulator``."""
    messages = [{"role": "user", "content": content}]
    return {"model": "test", "messages": messages, "stream": stream, **fields}


def ask(server: Connects, request: bytes) -> tuple["Response", bytes]:
    """The response, on a connection of its own, and its whole body. EOFError if that is cut."""
    with server.connect() as sock:
        sock.sendall(request)
        response = Response(sock)
        return response, response.body()


class Body(abc.ABC):
    """What comes of a response's body, as it comes."""

    @abc.abstractmethod
    def chunk(self) -> bytes:
        """What comes next, b"" at the proper end; EOFError if the body is cut before."""

    def chunks(self) -> Iterator[bytes]:
        """The chunks up to the proper end; EOFError if the body is cut."""
        return iter(self.chunk, b"")

    def body(self) -> bytes:
        """The rest of the body; EOFError if it is cut."""
        return b"".join(self.chunks())

    def until(self, text: bytes) -> bytes:
        """The body up to the chunk in which ``text`` is complete."""
        data = b""
        while text not in data:
            chunk = self.chunk()
            assert chunk, f"the body ended: {data!r}"
            data += chunk
        return data

    def json(self) -> Any:
        return json.loads(self.body())


class Response(Body):
    """Reads one response from a connection: the head at once, the chunked body as it comes."""

    def __init__(self, sock: socket.socket, received: bytes = b"") -> None:
        self._sock = sock
        self._buffer = bytearray(received)
        head = self._read_until(b"\r\n\r\n").decode("latin-1")
        status_line, *lines = head.split("\r\n")
        self.status = int(status_line.split()[1])
        self.headers = {}
        for line in filter(None, lines):
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()

    def chunk(self) -> bytes:
        """The next chunk, b"" at the proper end; EOFError if the connection ends before."""
        size = int(self._read_until(b"\r\n"), 16)
        data = self._read_exactly(size)
        self._read_exactly(2)
        return data

    def body(self) -> bytes:
        if self.status == 204:
            return b""
        if "content-length" in self.headers:
            return self._read_exactly(int(self.headers["content-length"]))
        return super().body()

    def following(self) -> "Response":
        """The response to a request that was sent before this one had been read."""
        return Response(self._sock, bytes(self._buffer))

    def _read_until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._receive()
        found = self._take(self._buffer.index(mark))
        self._take(len(mark))
        return found

    def _read_exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._receive()
        return self._take(size)

    def _take(self, size: int) -> bytes:
        found = bytes(self._buffer[:size])
        del self._buffer[:size]
        return found

    def _receive(self) -> None:
        data = self._sock.recv(65536)
        if not data:
            raise EOFError(f"the connection ended after {bytes(self._buffer)!r}")
        self._buffer += data


def reset(sock: socket.socket) -> None:
    """Closes with RST instead of FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
