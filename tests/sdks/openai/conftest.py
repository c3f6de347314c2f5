"""A client of OpenAI's Python SDK, in front of the simulator."""

from collections.abc import Iterator

import pytest
from openai import OpenAI

from tests.support.server import Server


@pytest.fixture(scope="session")
def openai_url(sluice: Server) -> str:
    return f"{sluice.url}/v1"


@pytest.fixture(scope="session")
def client(openai_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=openai_url, api_key="any", max_retries=0) as client:
        yield client
