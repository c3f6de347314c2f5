"""The environments of the servers."""

import pytest

from tests.servers.environments import Environments


@pytest.fixture(scope="session")
def environments() -> Environments:
    return Environments()
