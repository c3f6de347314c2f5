"""The simulator that all tests of Anthropic's clients share."""

from collections.abc import Iterator

import anthropic
import pytest

from tests.support.server import Server


@pytest.fixture
def claude(sluice: Server) -> Iterator[anthropic.Anthropic]:
    """A client of the simulator that does not ask again."""
    with anthropic.Anthropic(base_url=sluice.url, api_key="none", max_retries=0) as client:
        yield client
