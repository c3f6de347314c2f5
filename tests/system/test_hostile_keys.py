"""Keys and tickets that are guessed, forged or altered."""

import base64
import itertools
import json
import random
import statistics
import time
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.support.server import Server
from tests.support.stream import Response, chat, get, post
from tests.system.bystanders import check_log

ADDRESSES = itertools.count()
KEY = "sk-" + "7f3a9c51" * 8
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(
        "tests.system.attacked_app:app", api_keys=KEY, trusted_proxies="127.0.0.1"
    ) as server:
        yield server
        check_log(server.log)
        assert KEY not in server.log


def status(server: Server, request: bytes) -> int:
    # Each request has an address of its own, since wrong keys are counted by address.
    forwarded = b"\r\nX-Forwarded-For: 2001:db8:0:%x::1\r\n" % next(ADDRESSES)
    with server.connect() as sock:
        sock.sendall(request.replace(b"\r\n", forwarded, 1))
        response = Response(sock)
        if response.status not in (200, 204):
            assert json.loads(response.body())["error"]["code"], request
        return response.status


def start_stream(server: Server) -> tuple[str, str]:
    """Return the path and the ticket of a new stream."""
    body = chat(simulator={"tokens": 2, "itl_ms": 0})
    with server.connect() as sock:
        sock.sendall(post("/v1/streams", body, Authorization=f"Bearer {KEY}"))
        url = Response(sock).json()["url"]
    path, _, ticket = url.partition("?ticket=")
    return path, ticket


@pytest.mark.parametrize(
    "given",
    [
        f"Bearer {KEY[:-1]}",
        f"Bearer {KEY}0",
        f"Bearer {KEY.upper()}",
        f"Bearer {KEY},{KEY}",
        f"Bearer\t{KEY}",
        f"Bearer \xff{KEY}",
        f"Bearer {'é' * 1000}",
        f"Basic {base64.b64encode(KEY.encode()).decode()}",
        KEY,
        "Bearer",
        "",
        "Bearer " + "x" * 8000,
    ],
)
def test_text_that_resembles_a_key_is_refused(server, given):
    request = post(CHAT, chat()).replace(
        b"Host: localhost\r\n", f"Host: localhost\r\nAuthorization: {given}\r\n".encode("latin-1")
    )
    assert status(server, request) == 401


@pytest.mark.parametrize(
    "target",
    [
        CHAT,
        "/v1/chat/completions/",
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/%63hat/completions",
        "/%761/chat/completions",
        "/v1%2fchat/completions",
        "/v1/chat%2fcompletions",
        "/./v1/chat/completions",
        "/healthz/../v1/chat/completions",
        "/V1/chat/completions",
        "http://elsewhere/v1/chat/completions",
        "http://elsewhere//v1/chat/completions",
        "/v1/chat/completions?ticket=",
        "/v1/chat/completions#/healthz",
        "/v1/chat/completions;x",
        "/v1/streams",
        "/v1/models",
    ],
)
def test_no_target_leads_past_the_keys(server, target):
    assert status(server, post(target, chat(simulator={"tokens": 0}))) in (400, 401, 404)


@pytest.mark.parametrize("header", ["SCRIPT_NAME", "PATH_INFO", "X-Script-Name", "X-Original-URL"])
@pytest.mark.parametrize("value", ["/v1", "/v1/chat", "/healthz", "/x"])
def test_no_header_leads_past_the_keys(server, header, value):
    request = post(CHAT, chat(simulator={"tokens": 0})).replace(
        b"Host: localhost\r\n", f"Host: localhost\r\n{header}: {value}\r\n".encode()
    )
    assert status(server, request) == 401


def test_a_ticket_that_was_altered_anywhere_is_refused(server):
    path, ticket = start_stream(server)
    assert status(server, get(f"{path}?ticket={ticket}")) == 200
    for place, old in enumerate(ticket):
        new = "A" if old != "A" else "B"
        # The last character of base64 has two unused bits.
        if place < len(ticket) - 1:
            altered = ticket[:place] + new + ticket[place + 1 :]
            assert status(server, get(f"{path}?ticket={altered}")) == 401, altered


def test_a_forged_ticket_is_refused(server):
    path, ticket = start_stream(server)
    other, of_other = start_stream(server)
    expires_at, _, signature = ticket.partition(".")
    stream_id = path.rpartition("/")[2]
    forged = [
        "",
        ".",
        "..",
        signature,
        f"{expires_at}.",
        f"{int(expires_at) + 1}.{signature}",
        f"0{expires_at}.{signature}",
        f"{expires_at}.{of_other.partition('.')[2]}",
        of_other,
        f"{stream_id}.{ticket}",
        f"{ticket}.{signature}",
        f"{ticket}\0",
        f"{ticket}\n",
        f"-1.{signature}",
        "٣.é",
        "\ud83c\udf0a".encode("utf-16", "surrogatepass").decode("utf-16"),
        "x" * 3500,
        "." * 3500,
        "9" * 3500 + "." + signature,
    ]
    for each in forged:
        assert status(server, get(f"{path}?ticket={quote(each)}")) == 401, each
    assert status(server, get(f"{path}?ticket=%ff%fe{ticket}")) == 401
    assert status(server, get(f"{path}.{expires_at}?ticket={signature}")) in (401, 404)
    assert status(server, get(f"{other}?ticket={ticket}")) == 401
    assert status(server, post(f"/v1/streams?ticket={ticket}", chat())) == 401
    assert status(server, get(f"/v1/models?ticket={ticket}")) == 401


@pytest.mark.measures
@pytest.mark.slow
def test_the_time_of_a_refusal_does_not_say_how_much_of_a_key_was_right(server):
    wrong = "x" * len(KEY)
    guesses = {right: KEY[:right] + wrong[right:] for right in (0, 1, len(KEY) // 2, len(KEY) - 1)}
    seconds: dict[int, list[float]] = {right: [] for right in guesses}
    with server.connect() as sock:
        for _ in range(500):
            for right in random.sample(list(guesses), len(guesses)):
                address = f"2001:db8:1:{next(ADDRESSES):x}::1"
                request = get(
                    "/v1/models", Authorization=f"Bearer {guesses[right]}", X_Forwarded_For=address
                )
                started_at = time.perf_counter()
                sock.sendall(request)
                assert Response(sock).body()
                seconds[right].append(time.perf_counter() - started_at)
    medians = [statistics.median(times) for times in seconds.values()]
    # A comparison that stops at the first difference takes some 10 ns more for each right character, which cannot be
    # seen here. This finds a separate path for keys whose beginning is right.
    assert max(medians) < 1.1 * min(medians)
