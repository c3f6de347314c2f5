"""A server on a bare socket for clients in the browser: its streams are exactly the bytes that a test writes."""

import mimetypes
import socket

from tests.server.raw_upstream import Handler, RawUpstream, headers_of, target_of, whole
from tests.support.server import ROOT

CLIENT = "static/js/fetch-event-source"
MODULES = {f"/{CLIENT}": ROOT / CLIENT, "/tests": ROOT / "tests" / "browser"}
BLANK_PAGE = (
    b"<!doctype html><html><head><title>blank</title><link rel=icon href=data:,></head></html>"
)


class Request:
    """A request for a stream. ``headers`` has their names in lower case; ids are in UTF-8."""

    def __init__(self, request: bytes) -> None:
        self.method = request.split(b" ", 1)[0].decode()
        self.query = target_of(request).partition("?")[2]
        self.headers = {
            name: value.encode("latin-1").decode() for name, value in headers_of(request).items()
        }


class EventServer(RawUpstream):
    """Serves a blank page at ``/``, the modules of the browser client, and scripted streams.

    The stream ``/streams/NAME``, with or without a query, answers each request with the next of its
    answers, and with the last from then on. CORS preflights are granted, and do not count.
    """

    def __init__(self) -> None:
        self._answers: dict[str, list[Handler]] = {}
        self._requests: dict[str, list[Request]] = {}
        self._sockets: dict[str, socket.socket] = {}
        super().__init__(self._answer)
        self.url = f"http://{self.host}"

    def script(self, name: str, *answers: Handler) -> str:
        """Add a stream and return its URL."""
        self._answers[name] = list(answers)
        self._requests[name] = []
        return f"{self.url}/streams/{name}"

    def send(self, name: str, data: bytes) -> None:
        """Send more bytes of the stream's open response."""
        self._sockets[name].sendall(data)

    def is_closed(self, name: str) -> bool:
        """Return whether the browser has closed the connection of the stream's last response."""
        return any(
            connection.sock is self._sockets[name] and connection.closed_at is not None
            for connection in self.connections
        )

    def requests_of(self, name: str) -> list[Request]:
        """Return the requests for a stream so far, including preflights."""
        return self._requests[name]

    def _answer(self, sock: socket.socket, request: bytes) -> None:
        path = target_of(request).partition("?")[0]
        folder, _, name = path.rpartition("/")
        if folder == "/streams":
            self._answer_stream(sock, request, name)
        elif folder in MODULES:
            content_type, _ = mimetypes.guess_type(name)
            body = (MODULES[folder] / name).read_bytes()
            sock.sendall(whole(body, Content_Type=content_type))
        else:
            sock.sendall(whole(BLANK_PAGE, Content_Type="text/html"))

    def _answer_stream(self, sock: socket.socket, request: bytes, name: str) -> None:
        requests = self._requests[name]
        requests.append(Request(request))
        if requests[-1].method == "OPTIONS":
            sock.sendall(preflight_granted(requests[-1].headers.get("origin", "")))
            return
        self._sockets[name] = sock
        answers = self._answers[name]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        answer(sock, request)


def preflight_granted(origin: str) -> bytes:
    return whole(
        b"",
        Access_Control_Allow_Origin=origin,
        Access_Control_Allow_Credentials="true",
        Access_Control_Allow_Headers="Last-Event-ID, Content-Type",
    )
