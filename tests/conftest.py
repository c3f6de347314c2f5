"""Fixtures for all tests."""

import signal
from collections.abc import Iterator

import pytest

from tests.server.raw_upstream import RawUpstream, sends
from tests.support.server import Server


def pytest_configure() -> None:
    """Have the programs that tests start react to Ctrl-C, wherever the tests run.

    A shell makes a job in the background of a script ignore SIGINT and SIGQUIT, and programs that such a job starts inherit
    that, unless the job has a handler of its own.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


@pytest.fixture(scope="session")
def sluice() -> Iterator[Server]:
    """Sluice with its default settings, shared by the tests that change nothing in it."""
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def raw_upstream() -> Iterator[RawUpstream]:
    """For what a whole file has in front of it; a test takes ``upstream``."""
    with RawUpstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(raw_upstream: RawUpstream) -> Iterator[RawUpstream]:
    """Sends nothing until the test says what; without connections that other tests have left."""
    raw_upstream.close_connections()
    yield raw_upstream
    raw_upstream.handler = sends()
    raw_upstream.close_connections()


@pytest.fixture(scope="module")
def relay(raw_upstream: RawUpstream) -> Iterator[Server]:
    """Sluice in front of the ``upstream``."""
    with Server(upstream=raw_upstream.url) as server:
        yield server
