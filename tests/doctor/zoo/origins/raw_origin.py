"""A server on bare sockets that streams as its URL says, well or badly. It runs in threads of the test."""

import contextlib
import json
import select
import socket
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.doctor.zoo.origins import contents, heads
from tests.doctor.zoo.origins.script import Script
from tests.doctor.zoo.origins.steps import Step, changed
from tests.server.raw_upstream import LAST_CHUNK, RawUpstream, chunk, hang_up, headers_of, target_of
from tests.support.certificate import TlsUpstream
from tests.support.stream import reset

GAUGE = "zoo_streams_running"
"""The name in /metrics, unless the query says another: /metrics?name=..."""
_USUAL_TOKENS = 64
_WHOLE_ANSWER = {"choices": [{"message": {"role": "assistant", "content": "all at once"}}]}
_SHARED_BUFFER_BYTES = 16 << 10
_HALF_CHUNK = b"400\r\ndata: this chunk was announced as longer"


class RawOrigin:
    """Answers requests for one origin; ``handle`` is a handler of RawUpstream.

    /events, /v1/chat/completions, /v1/messages and /mcp stream as their query says (Script), /redirect?to=... leads to
    another URL, and /metrics says how many streams run.
    """

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._running = 0
        self._places: dict[int, threading.Semaphore] = {}
        self._shared = threading.Lock()

    def stop(self) -> None:
        """End the streams that do not notice that their connection is closed."""
        self._stopped.set()

    def handle(self, sock: socket.socket, request: bytes) -> None:
        self._serve(sock, request)
        if headers_of(request).get("connection", "").lower() == "close":
            hang_up(sock)

    def _serve(self, sock: socket.socket, request: bytes) -> None:
        route, _, query = target_of(request).partition("?")
        if route == "/metrics":
            sock.sendall(self._metrics(query))
        elif route == "/redirect":
            location = query.removeprefix("to=")
            sock.sendall(heads.empty(302, [("Location", location)]))
        elif route == "/v1/models":
            sock.sendall(heads.whole(200, {"object": "list", "data": [{"id": "zoo"}]}))
        else:
            self._answer(sock, route, query, request)

    def _answer(self, sock: socket.socket, route: str, query: str, request: bytes) -> None:
        headers = headers_of(request)
        try:
            script = Script.of(query)
        except ValueError as error:
            sock.sendall(heads.whole(400, {"error": str(error)}))
            return
        if (
            script.coding.partition("-")[0] not in headers.get("accept-encoding", "")
            and not script.forced
        ):
            script = replace(script, coding="")
        if request.partition(b"\r\n")[0].endswith(b"HTTP/1.0") and script.framing == "chunked":
            # Such a reader knows no chunks (RFC 9112, section 7.1).
            script = replace(script, framing="close")
        origin = headers.get("origin", "")
        method = request.partition(b" ")[0]
        if method == b"OPTIONS":
            sock.sendall(heads.preflight(script, origin))
        elif method not in (b"GET", b"POST"):
            sock.sendall(refusal(405))
        elif script.status == 204 or not 200 <= script.status < 300:
            sock.sendall(refusal(script.status))
        elif (steps := _steps(script, route, headers, request)) is None:
            sock.sendall(_no_stream(script, route, headers, request))
        else:
            self._stream(sock, script, steps, origin)

    def _metrics(self, query: str) -> bytes:
        name = query.removeprefix("name=") or GAUGE
        text = f"# TYPE {name} gauge\n{name} {self._running}\n"
        return heads.whole(200, text, content_type="text/plain; version=0.0.4")

    # One stream.

    def _stream(
        self, sock: socket.socket, script: Script, steps: Iterable[Step], origin: str
    ) -> None:
        with self._place(sock, script) as has_place:
            if not has_place:
                return
            body: list[Step] = list(changed(steps, script)) if script.framing == "length" else []
            length = sum(len(step) for step in body if isinstance(step, bytes)) if body else None
            if script.shared:
                # So that a reader that does not read is felt early.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SHARED_BUFFER_BYTES)
            sock.sendall(heads.stream_head(script, origin, length))
            with self._counted():
                self._send(sock, script, body or changed(steps, script))

    def _send(self, sock: socket.socket, script: Script, steps: Iterable[Step]) -> None:
        is_chunked = script.framing in ("chunked", "twice") and script.version == "1.1"
        events = 0
        for step in steps:
            if isinstance(step, float):
                if not self._pause(sock, step, script.leaving):
                    return
                continue
            if events == script.end_after:
                break
            events += 1
            self._write(sock, chunk(step) if is_chunked and step else step, script)
        self._end(sock, script, is_chunked)

    def _write(self, sock: socket.socket, data: bytes, script: Script) -> None:
        if script.shared:
            with self._shared:
                sock.sendall(data)
        elif script.leaving == "never":
            with contextlib.suppress(OSError):
                sock.sendall(data)
        else:
            sock.sendall(data)

    def _end(self, sock: socket.socket, script: Script, is_chunked: bool) -> None:
        match script.end:
            case "proper":
                if is_chunked:
                    sock.sendall(LAST_CHUNK)
                elif script.framing != "length":
                    hang_up(sock)
            case "fin":
                hang_up(sock)
            case "half":
                sock.sendall(_HALF_CHUNK)
                hang_up(sock)
            case "rst":
                reset(sock)
            case "stall":
                self._pause(sock, 3600.0, "at-once")
            case _:
                raise ValueError(f"no such end: {script.end}")

    def _pause(self, sock: socket.socket, seconds: float, leaving: str) -> bool:
        """Wait, and return whether to go on."""
        if leaving != "at-once":
            return not self._stopped.wait(seconds)
        return not reader_leaves_within(sock, seconds)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1

    @contextlib.contextmanager
    def _place(self, sock: socket.socket, script: Script) -> Iterator[bool]:
        """Wait for a place among those that may run at once. Gives whether there is one: not if the reader leaves before."""
        if not script.limit:
            yield True
            return
        with self._lock:
            places = self._places.setdefault(script.limit, threading.Semaphore(script.limit))
        while not places.acquire(blocking=False):
            if reader_leaves_within(sock, 0.01):
                yield False
                return
        try:
            yield True
        finally:
            places.release()


def reader_leaves_within(sock: socket.socket, seconds: float) -> bool:
    if sock.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return bool(poll.poll(max(0.0, seconds) * 1000))


def _steps(
    script: Script, route: str, headers: dict[str, str], request: bytes
) -> Iterable[Step] | None:
    """The stream that is asked for; None for what is answered otherwise."""
    last_event_id = headers.get("last-event-id", "")
    asked = _json_of(request)
    is_post = request.startswith(b"POST ")
    if route == "/events":
        is_over = contents.has_seen_all(script, last_event_id) and script.after_end == "204"
        return None if is_over else contents.counted(script, last_event_id)
    if route == "/mcp":
        return _mcp_steps(script, asked, is_post)
    content = {"/v1/chat/completions": contents.openai, "/v1/messages": contents.anthropic}
    if route not in content or not is_post:
        return None
    if not asked and script.refusal == "event":
        return content[route](replace(script, error=0))
    if not asked.get("stream"):
        return None
    tokens = asked.get("max_tokens") or _USUAL_TOKENS
    return content[route](replace(script, events=script.events * max(1, tokens // _USUAL_TOKENS)))


def _mcp_steps(script: Script, asked: dict[str, Any], is_post: bool) -> Iterable[Step] | None:
    if not is_post:
        return contents.mcp(script)
    if asked.get("method") == "initialize":
        return iter([contents.mcp_answer(asked)])
    return contents.mcp(script, contents.mcp_answer(asked)) if "id" in asked else None


def _json_of(request: bytes) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        asked = json.loads(request.partition(b"\r\n\r\n")[2])
        if isinstance(asked, dict):
            return asked
    return {}


def _no_stream(script: Script, route: str, headers: dict[str, str], request: bytes) -> bytes:
    if route == "/events":
        return heads.empty(204, heads.cors(script, headers.get("origin", "")))
    if route not in ("/mcp", "/v1/chat/completions", "/v1/messages"):
        return refusal(404)
    if not request.startswith(b"POST "):
        return refusal(405)
    if _json_of(request):
        return heads.empty(202, []) if route == "/mcp" else heads.whole(200, _WHOLE_ANSWER)
    if script.refusal == "html":
        return heads.whole(500, "<html>Internal Server Error</html>", content_type="text/html")
    return refusal(int(script.refusal))


def refusal(status: int) -> bytes:
    if status == 204:
        return heads.empty(status, [])
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    headers |= {"Retry-After": "1"} if status in (429, 503) else {}
    return heads.whole(status, {"error": {"message": f"refused with {status}"}}, headers)


# Starting one.


@contextlib.contextmanager
def raw_origin() -> Iterator[str]:
    """Gives the origin's address, such as http://127.0.0.1:20001."""
    origin = RawOrigin()
    with RawUpstream(origin.handle) as server:
        try:
            yield f"http://{server.host}"
        finally:
            origin.stop()


@contextlib.contextmanager
def secure_raw_origin(certificate: Path) -> Iterator[str]:
    """The same with TLS. certificate: one of ``make_certificates``; a reader trusts that file"""
    origin = RawOrigin()
    with TlsUpstream(certificate) as server:
        server.handler = origin.handle
        try:
            yield f"https://{server.host}"
        finally:
            origin.stop()
