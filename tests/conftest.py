"""Fixtures for all tests."""

from collections.abc import Iterator

import pytest

from tests.support.server import Server


@pytest.fixture(scope="session")
def sluice() -> Iterator[Server]:
    """Sluice with its default settings, shared by the tests that change nothing in it."""
    with Server() as server:
        yield server
