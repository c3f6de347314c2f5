"""A client that speaks HTTP/2, and sends whatever header a test gives it."""

import json
import socket

import h2.config
import h2.connection
import h2.events

from tests.support.stream import Body

Headers = list[tuple[str, str]]

_FRAME_HEAD_BYTES = 9
_GOAWAY = 7


class Http2Connection:
    """One connection, of many streams. It accepts all that comes, but for the streams in ``stalled``.

    sock: TLS is on it, and "h2" agreed
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                header_encoding="utf-8",
                # What no client should send must reach the server as it is.
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._h2.initiate_connection()
        self._responses: dict[int, Http2Response] = {}
        self.stalled: set[int] = set()
        """Streams of which nothing more is accepted than the first window of 64 KiB."""
        self._unread = b""
        self._send()

    def get(self, path: str, headers: Headers | None = None) -> "Http2Response":
        return self.request("GET", path, headers or [])

    def post(self, path: str, body: object) -> "Http2Response":
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(data)))]
        return self.request("POST", path, headers, data)

    def request(
        self,
        method: str,
        path: str,
        headers: Headers,
        body: bytes = b"",
        authority: str = "localhost",
    ) -> "Http2Response":
        """Returns when it is sent, or the answer is whole before that."""
        stream = self._h2.get_next_available_stream_id()
        response = self._responses[stream] = Http2Response(self, stream)
        pseudo = [
            (":method", method),
            (":scheme", "https"),
            (":authority", authority),
            (":path", path),
        ]
        self._h2.send_headers(stream, pseudo + headers, end_stream=not body)
        self._send()
        if body:
            self._send_body(response, body)
        return response

    def _send_body(self, response: "Http2Response", body: bytes) -> None:
        """In pieces as the server's windows take them (RFC 9113, section 5.2)."""
        while body and not (response.is_whole or response.is_cut):
            size = min(
                self._h2.local_flow_control_window(response.stream),
                self._h2.max_outbound_frame_size,
            )
            if not size:
                self.receive()
                continue
            piece, body = body[:size], body[size:]
            self._h2.send_data(response.stream, piece, end_stream=not body)
            self._send()

    def leave(self, stream: int) -> None:
        """RST_STREAM: what a browser sends when a page closes one of its streams."""
        self._h2.reset_stream(stream)
        self._send()

    def receive(self) -> None:
        """Waits for what comes next, and gives each response its part."""
        data = self._sock.recv(65536)
        if not data:
            for response in self._responses.values():
                response.is_cut = response.is_cut or not response.is_whole
            return
        for event in self._h2.receive_data(self._whole_frames(data)):
            stream = getattr(event, "stream_id", None)
            response = self._responses.get(stream or 0)
            if response is not None:
                self._give(response, event)
        self._send()

    def _whole_frames(self, data: bytes) -> bytes:
        """Without GOAWAY: h2 takes it for the end, but the server goes on with the streams that it has (RFC 9113,
        section 6.8)."""
        self._unread += data
        frames = b""
        while len(self._unread) >= _FRAME_HEAD_BYTES:
            size = _FRAME_HEAD_BYTES + int.from_bytes(self._unread[:3])
            if len(self._unread) < size:
                break
            if self._unread[3] != _GOAWAY:
                frames += self._unread[:size]
            self._unread = self._unread[size:]
        return frames

    def _give(self, response: "Http2Response", event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived():
                response.take_headers(event.headers)
            case h2.events.DataReceived():
                response.received += event.data
                size = event.flow_controlled_length
                if response.stream in self.stalled:
                    # The connection's window is everybody's.
                    self._h2.increment_flow_control_window(size)
                else:
                    self._h2.acknowledge_received_data(size, response.stream)
            case h2.events.StreamEnded():
                response.is_whole = True
            case h2.events.StreamReset():
                response.is_cut = True

    def _send(self) -> None:
        self._sock.sendall(self._h2.data_to_send())


class Http2Response(Body):
    """What has come of one response."""

    def __init__(self, connection: Http2Connection, stream: int) -> None:
        self._connection = connection
        self.stream = stream
        self.received = b""
        self.is_whole = False
        self.is_cut = False
        self._headers: dict[str, str] | None = None
        self._read = 0

    def take_headers(self, headers: list[tuple[str, str]]) -> None:
        self._headers = dict(headers)

    @property
    def headers(self) -> dict[str, str]:
        """Waits for them. EOFError if the stream or the connection ends before."""
        while self._headers is None:
            self._receive()
        return self._headers

    @property
    def status(self) -> int:
        return int(self.headers[":status"])

    def chunk(self) -> bytes:
        """What has come since the last call, b"" at the proper end; EOFError if the stream is cut."""
        while self._read == len(self.received):
            if self.is_whole:
                return b""
            self._receive()
        data = self.received[self._read :]
        self._read = len(self.received)
        return data

    def _receive(self) -> None:
        if self.is_cut:
            raise EOFError(f"the stream was cut after {self.received[-200:]!r}")
        self._connection.receive()
