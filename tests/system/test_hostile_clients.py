"""Clients that flood, trickle, do not read, or leave at once: nobody else notices."""

import contextlib
import random
import selectors
import socket
import time
from collections.abc import Iterator

import pytest

from tests.server.observer import Observer
from tests.server.test_leaks import random_request
from tests.support.server import Server, wait_until
from tests.support.stream import Response, chat, get, post, reset
from tests.system.bystanders import READERS as BYSTANDERS
from tests.system.bystanders import Bystanders, check_log

pytestmark = [pytest.mark.measures, pytest.mark.slow]

CHAT = "/v1/chat/completions"
JSON_POST = (
    f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
)
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
FLOOD_SECONDS = 1
ENDLESS = post(CHAT, chat(simulator={"itl_ms": 0, "tokens": 100_000}))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("tests.system.attacked_app:app") as server:
        yield server
        check_log(server.log)


@pytest.fixture(scope="module")
def others(server: Server) -> Iterator[Bystanders]:
    with Bystanders(server) as others:
        yield others


def flood(server: Server, beginning: bytes, again: bytes) -> None:
    """Sends faster than can be read, and reads what comes, for some time or until it is hung up on."""
    until = time.monotonic() + FLOOD_SECONDS
    with server.connect() as sock, selectors.DefaultSelector() as selector:
        sock.sendall(beginning)
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
        unsent = memoryview(again)
        try:
            while time.monotonic() < until:
                for _, events in selector.select(0.1):
                    if events & selectors.EVENT_READ and not sock.recv(1 << 20):
                        return
                    if events & selectors.EVENT_WRITE:
                        unsent = unsent[sock.send(unsent) :] or memoryview(again)
        except (ConnectionResetError, BrokenPipeError):
            pass


FLOODS = {
    "a-body-that-nobody-wants": (
        b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000000\r\n\r\n",
        b"x" * (1 << 20),
    ),
    "chunks-that-nobody-wants": (
        b"POST /nothing HTTP/1.1\r\nHost: localhost\r\n" + CHUNKED,
        b"100000\r\n" + b"x" * (1 << 20) + b"\r\n",
    ),
    "a-body-over-the-limit": (JSON_POST + CHUNKED, b"100000\r\n" + b" " * (1 << 20) + b"\r\n"),
    "chunks-of-one-byte": (JSON_POST + CHUNKED, b"1\r\n \r\n" * 100_000),
    "chunks-with-extensions": (JSON_POST + CHUNKED, (b"1;" + b"x=y;" * 900 + b"x\r\n \r\n") * 100),
    "requests": (b"", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5000),
    "requests-that-are-refused": (b"", b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5000),
    "a-line": (b"GET /", b"x" * 100_000),
    "a-header": (b"GET / HTTP/1.1\r\nX: ", b"x" * 100_000),
    "headers": (b"GET / HTTP/1.1\r\n", b"X: y\r\n" * 10_000),
    "line-ends": (b"", b"\r\n" * 100_000),
    "requests-behind-a-stream": (
        ENDLESS,
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5000,
    ),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_holds_nobody_up(server, others, kind):
    with others.undisturbed():
        flood(server, *FLOODS[kind])


def test_100_heads_without_an_end_hold_nobody_up(server, others):
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\n" + (b"X: " + b"y" * 4000 + b"\r\n") * 190
    with others.undisturbed():
        socks = [server.connect() for _ in range(100)]
        for sock in socks:
            sock.setblocking(False)
            with contextlib.suppress(OSError):
                sock.send(head)
        for sock in socks:
            sock.settimeout(20)
            with sock:
                assert Response(sock).status == 431


def test_60_bodies_that_are_held_back_hold_nobody_up_and_little_memory(server, others):
    head = JSON_POST + b"Content-Length: 10485760\r\n\r\n"
    observer = Observer(server)
    before = observer.ask("/inspect")["resident_kib"]
    with others.undisturbed(), contextlib.ExitStack() as stack:
        for _ in range(60):
            sock = stack.enter_context(server.connect())
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                sock.sendall(head + b" " * 10_485_000)
        # The bodies in SLUICE_TOTAL_BODY_BYTES, and what the last of them take while they are put together.
        assert observer.ask("/inspect")["resident_kib"] - before < 400 * 1024
    observer.close()


def test_a_refused_body_is_read_to_its_end_so_that_the_refusal_arrives(server):
    body = b"x" * (20 << 20)
    with server.connect() as sock:
        sock.sendall(post("/nothing", body) + get("/healthz"))
        response = Response(sock)
        assert response.status == 404
        response.body()
        assert response.following().status == 200


def test_500_bodies_that_trickle_hold_nobody_up(server, others):
    head = post(CHAT, chat(simulator={"tokens": 1, "itl_ms": 0}))[:-20]
    with others.undisturbed():
        slow = [server.connect() for _ in range(500)]
        for sock in slow:
            sock.sendall(head)
        for _ in range(19):
            for sock in slow:
                sock.sendall(b" ")
        for sock in slow:
            sock.close()


def test_500_readers_that_do_not_read_are_dropped_in_time(server, others):
    observer = Observer(server)
    before = observer.ask("/inspect")["resident_kib"]
    with others.undisturbed(max_gap_seconds=4):
        stopped = [server.connect(receive_buffer_bytes=4096) for _ in range(500)]
        for sock in stopped:
            sock.sendall(get("/flooding"))
        wait_until(lambda: observer.ask("/inspect")["inflight"] > 400)
        assert observer.ask("/inspect")["resident_kib"] - before < 150 * 1024
        wait_until(lambda: observer.ask("/inspect")["inflight"] <= BYSTANDERS, 20)
        for sock in stopped:
            sock.close()
    observer.close()


def test_2000_connections_without_a_request_hold_nobody_up(server, others):
    with others.undisturbed():
        silent = [server.connect() for _ in range(2000)]
        for sock in silent[::2]:
            sock.sendall(b"GET /hea")
        with server.connect() as sock:
            sock.sendall(get("/healthz"))
            assert Response(sock).status == 200
        for sock in silent:
            sock.close()


def test_2000_aborts_at_random_moments_hold_nobody_up(server, others):
    rng = random.Random(1)
    # They come faster than so many can be answered, and whoever comes meanwhile waits for their turn.
    with others.undisturbed(max_gap_seconds=4):
        open_: list[socket.socket] = []
        for _ in range(2000):
            sock = server.connect()
            sock.sendall(random_request(rng))
            open_.append(sock)
            if len(open_) > 50:
                reset(open_.pop(rng.randrange(50)))
        for sock in open_:
            reset(sock)
