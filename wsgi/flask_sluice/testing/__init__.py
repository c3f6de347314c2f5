"""Helps tests of apps that stream, and of programs that ask language models.

``read_events`` and ``open_stream`` take Flask's test client, and read the events of a view. ``simulated_llm`` starts a server
that answers like a language model, as the test says, and tells what it was sent. They need no test framework. Under pytest the
fixtures ``sse`` and ``llm`` do the same; the project's conftest.py takes them over:

    pytest_plugins = ["flask_sluice.testing"]
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flask_sluice.testing.simulated.llm import SimulatedLlm, simulated_llm
from flask_sluice.testing.simulated.process import LlmStartError
from flask_sluice.testing.simulated.requests import LlmRequest
from flask_sluice.testing.simulated.rules import LlmRule
from flask_sluice.testing.streams import (
    SeenEvent,
    StreamFixture,
    StreamReader,
    open_stream,
    read_events,
)

if TYPE_CHECKING:
    from werkzeug.test import Client

__all__ = [
    "LlmRequest",
    "LlmRule",
    "LlmStartError",
    "SeenEvent",
    "SimulatedLlm",
    "StreamReader",
    "open_stream",
    "read_events",
    "simulated_llm",
]

try:
    import pytest
except ImportError:
    # The functions above need no test framework.
    pass
else:

    @pytest.fixture
    def sse(request: pytest.FixtureRequest) -> Iterator[StreamFixture]:
        """Reads the streams of the app that the fixture ``client`` or ``app`` gives."""
        streams = StreamFixture(_client_of(request))
        yield streams
        streams.close()

    @pytest.fixture(scope="session")
    def _simulated_llm() -> Iterator[SimulatedLlm]:
        with simulated_llm() as started:
            yield started

    @pytest.fixture
    def llm(_simulated_llm: SimulatedLlm) -> Iterator[SimulatedLlm]:
        """A server that answers like a language model; it begins anew with each test, and is started once."""
        _simulated_llm.reset()
        yield _simulated_llm
        _simulated_llm.reset()

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
