"""A forward proxy (RFC 9110, section 3.7), and Sluice started with one in its environment."""

import contextlib
import re
import socket
import threading
from collections.abc import Iterator

from tests.server.raw_upstream import Handler, hang_up
from tests.support.server import Server


def forwards_to(port: int) -> Handler:
    """CONNECT and the absolute form, to 127.0.0.1 whatever host is named: tests name such as only a proxy knows.

    A handler for RawUpstream, which records what it is asked. Each connection of the client's has one of its
    own behind it, and ends with it. Of several requests in absolute form on one connection the first alone
    is seen and rewritten.
    """

    def handler(client: socket.socket, request: bytes) -> None:
        with socket.create_connection(("127.0.0.1", port)) as server:
            if request.startswith(b"CONNECT "):
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                server.sendall(_in_origin_form(request))
            back = threading.Thread(target=_pass_on, args=(server, client))
            back.start()
            _pass_on(client, server)
            back.join()
        hang_up(client)

    return handler


@contextlib.contextmanager
def server_in(upstream: str, **environment: object) -> Iterator[Server]:
    """Sluice before ``upstream``, with these variables and no other proxy."""
    variables = {name: str(value) for name, value in environment.items()}
    with Server(upstream=upstream, environment=variables) as server:
        yield server


def _in_origin_form(request: bytes) -> bytes:
    """As the origin server gets it: without its scheme and host, and without what was for the proxy."""
    request = re.sub(rb"^([A-Z]+) http://[^/ ]+", rb"\1 ", request)
    return re.sub(rb"(?i)\r\nproxy-[a-z]+:[^\r]*", b"", request, count=1)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for sock in (source, target):
        # Wakes the other direction, if it is waiting.
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
