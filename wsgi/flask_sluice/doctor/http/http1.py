"""HTTP/1.0 and 1.1, read by h11."""

import re

import h11

from flask_sluice.doctor.http.recording import Ending, Recording
from flask_sluice.doctor.http.request import HttpRequest

_MAX_HEAD_BYTES = 256 * 1024
_CODING = re.compile(rb"(?i)(\r?\n)transfer-encoding[ \t]*:[ \t]*chunked[ \t]*(?=\r?\n)")


class Http1Protocol:
    """One request over HTTP/1.1 (RFC 9112)."""

    def __init__(self, request: HttpRequest, recording: Recording) -> None:
        self._request = request
        self._recording = recording
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
        self._received_head = b""
        self._repeated_codings = 0

    def opening_bytes(self) -> bytes:
        request = self._request
        head = h11.Request(
            method=request.method, target=request.path, headers=request.all_headers()
        )
        body = h11.Data(data=request.body or b"")
        parts = (self._connection.send(part) for part in (head, body, h11.EndOfMessage()))
        return b"".join(part for part in parts if part)

    def take(self, data: bytes, seconds: float) -> bytes:
        if self._recording.status is None:
            self._received_head += data
        self._connection.receive_data(data)
        self._take_events(seconds)
        return b""

    def take_end(self, seconds: float, detail: str) -> None:
        if self._recording.has_ended:
            return
        self._connection.receive_data(b"")
        is_unmarked = self._is_unmarked()
        try:
            self._take_events(seconds, is_unmarked=is_unmarked)
        finally:
            if not self._recording.has_ended or self._recording.ending is Ending.NOT_HTTP:
                self._recording.end(Ending.TRUNCATED, seconds, detail)

    def _take_events(self, seconds: float, *, is_unmarked: bool = False) -> None:
        data = bytearray()
        try:
            while True:
                event = self._connection.next_event()
                if isinstance(event, h11.Data):
                    data += event.data
                    continue
                self._add(data, seconds)
                data.clear()
                if isinstance(event, h11.Response | h11.InformationalResponse):
                    self._take_head(event, seconds)
                elif isinstance(event, h11.EndOfMessage):
                    ending = Ending.UNMARKED if is_unmarked else Ending.COMPLETE
                    return self._recording.end(ending, seconds)
                else:
                    return None
        except h11.RemoteProtocolError as error:
            if self._recording.status is None and self._drop_repeated_codings():
                return self._take_events(seconds, is_unmarked=is_unmarked)
            self._add(data, seconds)
            self._recording.end(Ending.NOT_HTTP, seconds, str(error))

    def _drop_repeated_codings(self) -> bool:
        """Begin again without the second and further lines "Transfer-Encoding: chunked", if there are any.

        h11 refuses them, as nginx does. Many clients read on, and what a server sends twice is to be told.
        """
        head, end, body = self._received_head.partition(b"\r\n\r\n")
        lines = len(_CODING.findall(head + b"\r\n"))
        if lines < 2 or self._repeated_codings:
            return False
        self._repeated_codings = lines - 1
        kept = _CODING.sub(b"", head + b"\r\n", count=self._repeated_codings)
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
        self.opening_bytes()
        self._connection.receive_data(kept + end[2:] + body)
        return True

    def _add(self, data: bytearray, seconds: float) -> None:
        if data:
            self._recording.add(seconds, bytes(data))

    def _take_head(self, head: h11.Response | h11.InformationalResponse, seconds: float) -> None:
        if isinstance(head, h11.InformationalResponse):
            self._recording.interim.append(head.status_code)
            return
        recording = self._recording
        recording.status = head.status_code
        recording.http_version = head.http_version.decode()
        recording.head_seconds = seconds
        recording.headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in head.headers.raw_items()
        ]
        recording.headers += [("Transfer-Encoding", "chunked")] * self._repeated_codings

    def _is_unmarked(self) -> bool:
        """Whether the end of the connection is the only end that the body has (RFC 9112, section 6.3)."""
        recording = self._recording
        if recording.status is None or recording.status in (204, 304):
            return False
        coding = (recording.header("Transfer-Encoding") or "").lower()
        return "chunked" not in coding and recording.header("Content-Length") is None
