"""Guessing keys: after a number of wrong ones an address is refused for a minute. The rules: tests/unit/test_wrong_keys.py."""

from collections.abc import Iterator

import pytest

from flask_sluice.gateway.request.access.wrong_keys import MAX_WRONG_KEYS
from tests.support.server import Server
from tests.support.stream import Response, ask, get

KEY, OTHER = "a-key-0123456789", "other-key-0123456789"
ADDRESSES = (f"198.51.100.{number}" for number in range(256))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(api_keys=f"{KEY},{OTHER}", trusted_proxies="127.0.0.1") as server:
        yield server


@pytest.fixture
def address() -> str:
    """An address that no other test uses."""
    return next(ADDRESSES)


def with_key(address: str, key: str, path: str = "/v1/models") -> bytes:
    return get(path, Authorization=f"Bearer {key}", X_Forwarded_For=address)


def statuses(server: Server, *requests: bytes) -> list[int]:
    with server.connect() as sock:
        result = []
        for request in requests:
            sock.sendall(request)
            response = Response(sock)
            response.body()
            result.append(response.status)
        return result


GUESSES = {
    "keys": lambda address, n: with_key(address, f"guess-{n}"),
    "keys-of-anthropics-clients": lambda address, n: get(
        "/v1/models", X_Api_Key=f"guess-{n}", X_Forwarded_For=address
    ),
    "tickets": lambda address, n: get(
        f"/v1/streams/x?ticket=9999999999.{n}", X_Forwarded_For=address
    ),
    "on-unknown-paths": lambda address, n: with_key(address, f"guess-{n}", f"/v1/{n}"),
}


@pytest.mark.parametrize("guess", GUESSES.values(), ids=GUESSES)
def test_guesses_are_refused_after_a_number_of_them(server, address, guess):
    asked = statuses(server, *(guess(address, number) for number in range(3 * MAX_WRONG_KEYS)))
    assert asked == [401] * MAX_WRONG_KEYS + [429] * 2 * MAX_WRONG_KEYS
    response, body = ask(server, guess(address, 0))
    assert 0 < int(response.headers["retry-after"]) <= 60
    assert b'"code":"rate_limit_exceeded"' in body


def test_a_client_behind_the_same_address_that_had_its_key_accepted_goes_on(server, address):
    assert statuses(server, with_key(address, KEY)) == [200]
    wrong = [with_key(address, f"guess-{number}") for number in range(MAX_WRONG_KEYS + 1)]
    assert statuses(server, *wrong)[-1] == 429
    assert statuses(server, with_key(address, KEY)) == [200]


def test_a_right_guess_cannot_be_told_from_a_wrong_one_while_the_address_is_blocked(
    server, address
):
    wrong = [with_key(address, f"guess-{number}") for number in range(MAX_WRONG_KEYS)]
    statuses(server, *wrong)
    assert statuses(server, with_key(address, OTHER)) == [429]
    assert statuses(server, with_key(next(ADDRESSES), OTHER)) == [200]


def test_requests_without_a_key_are_no_guesses(server, address):
    asked = statuses(server, *[get("/v1/models", X_Forwarded_For=address)] * 2 * MAX_WRONG_KEYS)
    assert set(asked) == {401}
    assert statuses(server, with_key(address, KEY)) == [200]


def test_addresses_of_one_ipv6_network_count_together(server):
    wrong = [with_key(f"2001:db8:7::{n:x}", f"guess-{n}") for n in range(MAX_WRONG_KEYS + 1)]
    assert statuses(server, *wrong)[-1] == 429
