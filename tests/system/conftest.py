"""nginx, as it is shipped, in front of Sluice and in front of a foreign app; clients of both protocols; Redis."""

from collections.abc import Iterator

import pytest

from flask_sluice.stream import registry
from tests.system.journal_worker import new_stream_id
from tests.system.redis_server import RedisServer
from tests.system.site import Client, Site


@pytest.fixture(autouse=True)
def own_worker_objects() -> None:
    """Each test begins without the outages that others have left."""
    registry.reset()


@pytest.fixture(scope="session")
def sluice_site() -> Iterator[Site]:
    with Site() as site:
        yield site


@pytest.fixture(scope="session")
def foreign_site() -> Iterator[Site]:
    with Site("tests.system.proxied_app:app") as site:
        yield site


@pytest.fixture(params=["http/1.1", pytest.param("h2", marks=pytest.mark.slow)])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    with Client(request.param) as client:
        yield client


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """One for each file of tests, which may kill it if they start it again."""
    with RedisServer() as redis:
        yield redis


@pytest.fixture
def stream_id() -> str:
    """Nobody else's in that Redis."""
    return new_stream_id()
