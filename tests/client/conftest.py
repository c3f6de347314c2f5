"""A server that sends what the test tells it, and a client for it."""

import threading
from collections.abc import Iterator

import pytest

from flask_sluice import cli
from flask_sluice.client import SSEClient, Timeouts
from tests.server.raw_upstream import RawUpstream


@pytest.fixture
def server() -> Iterator[RawUpstream]:
    with RawUpstream() as server:
        yield server


@pytest.fixture
def client(server: RawUpstream) -> SSEClient:
    # A test that hangs ends after ten seconds.
    return SSEClient(f"http://{server.host}", timeouts=Timeouts(total_seconds=10))


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Handlers wait for it; the end of the test sets it in any case."""
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture
def run(capsys):
    """Run ``sluice ask`` in this process; the function returns the exit code and what it printed."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["ask", *arguments])
        return code, *capsys.readouterr()

    return run
