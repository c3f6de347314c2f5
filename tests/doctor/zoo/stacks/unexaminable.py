"""URLs that give no stream."""

import contextlib
from collections.abc import Iterator

from benchmarks.ports import free_port
from tests.doctor.zoo.origins.script import path
from tests.doctor.zoo.stack import Stack


def refused(status: int, problem: str) -> Stack:
    return Stack(path(status=status), "headers", problem=problem)


@contextlib.contextmanager
def closed_port() -> Iterator[str]:
    yield f"http://127.0.0.1:{free_port()}"


STACKS = {
    "the server wants to know who asks": refused(401, "401: it wants to know who asks"),
    "the server forbids it": refused(403, "403"),
    "nothing is at the path": refused(404, "404: there is nothing at this path"),
    "the server takes another method": refused(405, "405: it does not take this method"),
    "the server is asked too often": refused(429, "429"),
    "the server fails": refused(500, "500"),
    "the server is away": refused(503, "503"),
    "the stream is over": Stack(path(status=204), "headers", problem="204"),
    "a redirect leads to itself": Stack("/redirect?to=/redirect", "headers", problem="302"),
    "no server listens": Stack("/", "headers", problem="no connection to", origin=closed_port),
    "the certificate is not trusted": Stack(
        path(), "headers", problem="no TLS with", tls=True, options={"cacert": None}
    ),
    "the answer is JSON": Stack("/v1/models", "headers", problem="the answer is JSON"),
    "no stream is asked for": Stack(
        path("/v1/chat/completions"),
        "headers",
        problem='is "stream": true in the body',
        options={"post": b'{"messages": []}', "headers": {"Content-Type": "application/json"}},
    ),
}
