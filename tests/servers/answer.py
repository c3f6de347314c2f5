"""Reads a response from any server: chunked, with a length, or ended by the connection's end."""

import http.client
import socket

from tests.support.stream import Body, reset

TIMEOUT_SECONDS = 20


class Answer(Body):
    """A request on a connection of its own, and its response as it comes."""

    def __init__(
        self,
        port: int,
        path: str,
        *,
        method: str = "GET",
        receive_buffer_bytes: int | None = None,
    ) -> None:
        self._sock = socket.socket()
        self._sock.settimeout(TIMEOUT_SECONDS)
        self._response: http.client.HTTPResponse | None = None
        try:
            if receive_buffer_bytes is not None:
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
            self._sock.connect(("127.0.0.1", port))
            self._sock.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            self._method = method
        except BaseException:
            self._sock.close()
            raise

    def __enter__(self) -> "Answer":
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    @property
    def response(self) -> http.client.HTTPResponse:
        """The response, whose head this waits for."""
        if self._response is None:
            self._response = http.client.HTTPResponse(self._sock, method=self._method)
            self._response.begin()
        return self._response

    @property
    def status(self) -> int:
        return self.response.status

    def chunk(self) -> bytes:
        response = self.response
        try:
            return response.read1(65536)
        except http.client.IncompleteRead as error:
            raise EOFError("the body was cut") from error

    def end_own_side(self) -> None:
        self._sock.shutdown(socket.SHUT_WR)

    def leave(self) -> None:
        """Close the connection, as a browser does whose tab is closed."""
        if self._response is not None:
            self._response.close()
        self._sock.close()

    def reset(self) -> None:
        """End the connection with RST instead of FIN."""
        if self._response is not None:
            self._response.close()
        reset(self._sock)
