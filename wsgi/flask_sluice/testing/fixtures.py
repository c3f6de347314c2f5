"""The fixtures for pytest."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from flask_sluice.testing.llm.simulated_llm import SimulatedLLM, simulated_llm
from flask_sluice.testing.streams import StreamFixture

if TYPE_CHECKING:
    from werkzeug.test import Client


@pytest.fixture
def sse(request: pytest.FixtureRequest) -> Iterator[StreamFixture]:
    """Reads the streams of the app that the fixture ``client`` or ``app`` gives."""
    streams = StreamFixture(_client_of(request))
    yield streams
    streams.close()


def _client_of(request: pytest.FixtureRequest) -> "Client":
    try:
        client: Client = request.getfixturevalue("client")
    except pytest.FixtureLookupError:
        pass
    else:
        return client
    try:
        client = request.getfixturevalue("app").test_client()
    except pytest.FixtureLookupError:
        raise LookupError(
            "the fixture sse reads streams through a fixture `client`, Flask's test client, or `app`, the Flask app: "
            "define one of them in conftest.py"
        ) from None
    return client


@pytest.fixture(scope="session")
def llm_process() -> Iterator[SimulatedLLM]:
    """The simulated server that all tests of a session use, one after the other."""
    with simulated_llm() as llm:
        yield llm


@pytest.fixture
def llm(llm_process: SimulatedLLM) -> Iterator[SimulatedLLM]:
    """A simulated language model server that has had no request and has no rule yet."""
    llm_process.reset()
    yield llm_process
    llm_process.reset()
