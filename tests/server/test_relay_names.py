"""Requests follow an upstream's name: to other addresses when it changes, and to all that it has."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.server.raw_upstream import RawUpstream, sends, whole
from tests.server.relayed import ask_chat, refusal
from tests.support.server import Server, wait_until

NAME = "engine.test"
MAX_AGE_SECONDS = 0.5


class Names:
    def __init__(self, file: Path) -> None:
        self.file = file
        self._names: dict[str, list[str] | str] = {}

    def set(self, name: str, addresses: list[str] | str) -> None:
        self._names[name] = addresses
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(self._names))
        new.rename(self.file)


@pytest.fixture(scope="module")
def names(tmp_path_factory) -> Names:
    names = Names(tmp_path_factory.mktemp("names") / "names.json")
    names.set(NAME, [])
    return names


@pytest.fixture(scope="module")
def engines() -> Iterator[list[RawUpstream]]:
    """Three, each at an address of its own and at the same port."""
    with ExitStack() as stack:
        first = stack.enter_context(RawUpstream())
        others = (
            stack.enter_context(RawUpstream(port=first.port, address=address))
            for address in ("127.0.0.2", "127.0.0.3")
        )
        engines = [first, *others]
        for number, engine in enumerate(engines, 1):
            engine.handler = sends(whole(b'{"engine":%d}' % number))
        yield engines


@pytest.fixture(scope="module")
def server(names: Names, engines: list[RawUpstream]) -> Iterator[Server]:
    with renamed_server(names, f"http://{NAME}:{engines[0].port}/v1") as server:
        yield server


def renamed_server(names: Names, upstream: str, **settings: object) -> Server:
    environment = {"NAMES_FILE": str(names.file), "MAX_AGE_SECONDS": str(MAX_AGE_SECONDS)}
    app = "tests.server.renamed_app:app"
    return Server(app, environment=environment, upstream=upstream, **settings)


def answering_engine(server: Server) -> int:
    response, body = ask_chat(server, stream=False)
    assert response.status == 200, body
    return json.loads(body)["engine"]


def engine_on_new_connection(server: Server, engines: list[RawUpstream]) -> int:
    for engine in engines:
        engine.close_connections()
    return answering_engine(server)


@pytest.mark.slow
def test_constant_traffic_follows_a_name_that_gets_another_address(server, names, engines):
    names.set(NAME, ["127.0.0.1"])
    # The addresses of the test before may still count for a moment.
    wait_until(lambda: answering_engine(server) == 1)
    assert [answering_engine(server) for _ in range(5)] == [1] * 5
    names.set(NAME, ["127.0.0.2"])
    # The old address goes on answering, as a pod does that is only about to end.
    wait_until(lambda: answering_engine(server) == 2)
    assert [answering_engine(server) for _ in range(5)] == [2] * 5


@pytest.mark.slow
def test_requests_reach_all_addresses_of_a_name(server, names, engines):
    names.set(NAME, ["127.0.0.1", "127.0.0.2", "127.0.0.3"])
    seen: set[int] = set()

    def has_seen_all() -> bool:
        seen.add(engine_on_new_connection(server, engines))
        return seen == {1, 2, 3}

    wait_until(has_seen_all)


def test_an_address_that_refuses_is_passed_over_without_a_failure(server, names, engines):
    names.set(NAME, ["127.0.0.9", "127.0.0.2"])
    wait_until(lambda: [engine_on_new_connection(server, engines) for _ in range(4)] == [2] * 4)


@pytest.mark.slow
def test_a_name_that_is_gone_is_an_upstream_that_cannot_be_reached(server, names, engines):
    names.set(NAME, ["127.0.0.1"])
    wait_until(lambda: answering_engine(server) == 1)
    names.set(NAME, [])
    wait_until(lambda: ask_chat(server, stream=False)[0].status == 502)
    assert refusal(server) == (502, "upstream_unreachable")
    names.set(NAME, ["127.0.0.3"])
    assert answering_engine(server) == 3


@pytest.mark.slow
def test_a_lookup_that_hangs_ends_with_the_connect_timeout_and_stops_no_other_upstream(
    names, engines
):
    names.set("hangs.test", "hangs")
    urls = f"http://hangs.test:{engines[0].port}/v1,{engines[1].url}"
    with renamed_server(names, urls, connect_timeout_seconds=0.5) as server:
        assert [answering_engine(server) for _ in range(6)] == [2] * 6
    names.set("hangs.test", [])
