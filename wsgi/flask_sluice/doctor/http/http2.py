"""HTTP/2, read by h2."""

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from flask_sluice.doctor.http.recording import Ending, Recording
from flask_sluice.doctor.http.request import HttpRequest

_STREAM = 1
_WINDOW_BYTES = 16 * 1024 * 1024
_NOT_IN_HTTP2 = {"host", "connection", "transfer-encoding", "keep-alive", "upgrade"}


class Http2Protocol:
    """One request over HTTP/2 (RFC 9113), on the first stream of a connection."""

    def __init__(self, request: HttpRequest, recording: Recording) -> None:
        self._request = request
        self._recording = recording
        config = h2.config.H2Configuration(client_side=True, header_encoding="latin-1")
        self._connection = h2.connection.H2Connection(config)

    def opening_bytes(self) -> bytes:
        request, connection = self._request, self._connection
        connection.initiate_connection()
        # A stream must not wait for the reader's permission to send.
        connection.increment_flow_control_window(_WINDOW_BYTES)
        names = [
            (":method", request.method),
            (":scheme", request.parts.scheme),
            (":authority", request.authority),
            (":path", request.path),
        ]
        headers = [(name.lower(), value) for name, value in request.all_headers()]
        headers = [header for header in headers if header[0] not in _NOT_IN_HTTP2]
        connection.send_headers(_STREAM, [*names, *headers], end_stream=not request.body)
        connection.increment_flow_control_window(_WINDOW_BYTES, _STREAM)
        if request.body:
            self._send_body(request.body)
        return connection.data_to_send()

    def _send_body(self, body: bytes) -> None:
        """Send what the first window takes: 64 KiB, which no request of the doctor exceeds but a user's may."""
        size = self._connection.max_outbound_frame_size
        for start in range(0, len(body), size):
            part = body[start : start + size]
            self._connection.send_data(_STREAM, part, end_stream=start + size >= len(body))

    def take(self, data: bytes, seconds: float) -> bytes:
        body = bytearray()
        try:
            for event in self._connection.receive_data(data):
                if isinstance(event, h2.events.DataReceived):
                    body += event.data
                    self._connection.acknowledge_received_data(
                        event.flow_controlled_length or 0, _STREAM
                    )
                else:
                    self._add(body, seconds)
                    self._take_event(event, seconds)
        except h2.exceptions.ProtocolError as error:
            self._recording.end(Ending.NOT_HTTP, seconds, str(error) or type(error).__name__)
        self._add(body, seconds)
        return self._connection.data_to_send()

    def take_end(self, seconds: float, detail: str) -> None:
        if not self._recording.has_ended:
            self._recording.end(Ending.TRUNCATED, seconds, detail)

    def _take_event(self, event: h2.events.Event, seconds: float) -> None:
        recording = self._recording
        if isinstance(event, h2.events.ResponseReceived):
            headers = [(str(name), str(value)) for name, value in event.headers or ()]
            recording.status = int(dict(headers).get(":status", 0))
            recording.http_version = "2"
            recording.head_seconds = seconds
            recording.headers = [header for header in headers if not header[0].startswith(":")]
        elif isinstance(event, h2.events.StreamEnded):
            recording.end(Ending.COMPLETE, seconds)
        elif isinstance(event, h2.events.StreamReset):
            recording.end(Ending.STREAM_RESET, seconds, f"error code {event.error_code}")
        elif isinstance(event, h2.events.ConnectionTerminated):
            is_refused = (event.last_stream_id or 0) < _STREAM or bool(event.error_code)
            if is_refused and not recording.has_ended:
                recording.end(Ending.GOAWAY, seconds, f"error code {event.error_code}")

    def _add(self, body: bytearray, seconds: float) -> None:
        if body:
            self._recording.add(seconds, bytes(body))
            body.clear()
