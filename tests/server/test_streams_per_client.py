"""How many resumable streams one client may have running, and who counts as one client."""

import contextlib
import json
from collections.abc import Iterator

import pytest

from tests.server.raw_upstream import RawUpstream
from tests.server.relayed import SILENT
from tests.support.server import Server
from tests.support.stream import Response, ask, chat, post

KEY, OTHER_KEY = "a-key-0123456789", "b-key-0123456789"
PATH = "/v1/streams"
ENDLESS = {"tokens": 100_000, "itl_ms": 1000}


def start(server: Server, address: str = "192.0.2.1", key: str = KEY, **fields: object) -> int:
    """Return the status of a request for a stream that goes on."""
    headers = {"Authorization": f"Bearer {key}", "X_Forwarded_For": address}
    request = post(PATH, chat(simulator=ENDLESS, **fields), **headers)
    return ask(server, request)[0].status


@contextlib.contextmanager
def serving(**settings: object) -> Iterator[Server]:
    with Server(streams_per_client=1, trusted_proxies="127.0.0.1", **settings) as server:
        yield server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Each test is clients of its own there: streams go on, so their addresses and users are of no other test."""
    with serving(api_keys=f"{KEY},{OTHER_KEY}") as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("field", ["user", "safety_identifier"])
@pytest.mark.parametrize("has_upstream", [False, True], ids=["simulator", "relay"])
def test_a_backend_with_one_key_has_streams_for_each_of_its_users(field, has_upstream):
    with RawUpstream(SILENT) as upstream:
        settings = {"upstream": upstream.url} if has_upstream else {}
        with serving(api_keys=KEY, **settings) as server:
            statuses = [start(server, **{field: user}) for user in ("ann", "bob", "ann")]
            assert statuses == [201, 201, 429]


def test_the_address_counts_where_no_user_is_named(server):
    statuses = [start(server, address) for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1")]
    assert statuses == [201, 201, 429]


def test_users_of_different_keys_are_different(server):
    assert [start(server, key=key, user="ann") for key in (KEY, OTHER_KEY)] == [201, 201]


def test_the_address_alone_counts_where_a_setting_says_so():
    with serving(api_keys=KEY, client_is="address") as server:
        assert [start(server, user=user) for user in ("ann", "bob")] == [201, 429]


def test_the_key_counts_where_a_setting_says_so():
    with serving(api_keys=KEY, client_is="key") as server:
        statuses = [start(server, f"192.0.2.{n}", user=f"{n}") for n in (1, 2)]
        assert statuses == [201, 429]


def test_without_keys_a_client_cannot_pass_for_many_users():
    with serving() as server:
        assert [start(server, user=user) for user in ("ann", "bob")] == [201, 429]


@pytest.mark.parametrize(
    ("user", "address"),
    [(None, "192.0.2.11"), ("", "192.0.2.13")],
)
def test_a_user_without_a_name_is_none(server, user, address):
    assert [start(server, address, user=user) for _ in range(2)] == [201, 429]


def test_requests_whose_last_bytes_are_held_back_get_no_more_streams():
    request = post(PATH, chat(simulator=ENDLESS))
    with Server(streams_per_client=2) as server, contextlib.ExitStack() as stack:
        socks = [stack.enter_context(server.connect()) for _ in range(30)]
        for sock in socks:
            sock.sendall(request[:-1])
        for sock in socks:
            sock.sendall(request[-1:])
        statuses = [Response(sock).status for sock in socks]
        assert (statuses.count(201), statuses.count(429)) == (2, 28)


def test_a_request_that_fails_does_not_count(server):
    client = {"Authorization": f"Bearer {KEY}", "X_Forwarded_For": "192.0.2.21"}
    for body in (b"{", json.dumps({"messages": 1}).encode()):
        assert ask(server, post(PATH, body, **client))[0].status == 400
    assert start(server, "192.0.2.21") == 201
