"""Each server gives what docs/servers.md says of it."""

from collections.abc import Iterator

import pytest

from tests.servers.behaviours import YES
from tests.servers.differences import a_stream_after_sigterm
from tests.servers.environments import Environments
from tests.servers.running import RunningServer
from tests.servers.table import (
    COMMON,
    DIFFERENT,
    PAGE,
    SIGTERM,
    Behaviour,
    generated_part,
    recorded,
    render,
)
from tests.servers.wsgi_servers import SERVERS, WsgiServer


def test_the_page_has_the_table_that_was_made():
    assert generated_part(PAGE.read_text()) == render(recorded())


EACH_SERVER = [pytest.param(each, id=each.id) for each in SERVERS]


@pytest.fixture(scope="module", params=EACH_SERVER)
def server(request: pytest.FixtureRequest, environments: Environments) -> Iterator[RunningServer]:
    with RunningServer(request.param, environments) as running:
        yield running


def names_of(behaviours: dict[str, Behaviour]) -> list[object]:
    return [pytest.param(name, id=behaviour.__name__) for name, behaviour in behaviours.items()]


# Installing the servers may wait for a registry.
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("sentence", names_of(COMMON))
def test_every_server_gives(server: RunningServer, sentence: str):
    assert COMMON[sentence](server) == YES


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("column", names_of(DIFFERENT))
def test_a_server_gives_what_the_table_says(server: RunningServer, column: str):
    assert DIFFERENT[column](server) == recorded()[server.server.id][column]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("each", EACH_SERVER)
def test_a_server_ends_as_the_table_says(each: WsgiServer, environments: Environments):
    with RunningServer(each, environments) as running:
        assert a_stream_after_sigterm(running) == recorded()[each.id][SIGTERM]
