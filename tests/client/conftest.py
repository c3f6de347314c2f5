"""A server that sends what the test tells it, and a client for it."""

import sys
import threading
from collections.abc import Iterator

import pytest

from flask_sluice.client import SSEClient, Timeouts
from flask_sluice.client.ask import main
from tests.server.raw_upstream import RawUpstream


@pytest.fixture
def server() -> Iterator[RawUpstream]:
    with RawUpstream() as server:
        yield server


@pytest.fixture
def client(server: RawUpstream) -> SSEClient:
    # No test may hang: what is not tested ends it after ten seconds.
    return SSEClient(f"http://{server.host}", timeouts=Timeouts(total_seconds=10))


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What a handler waits for; opened at the end of the test in any case."""
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs ``python -m flask_sluice.client`` in this process; returns the exit code and what it printed."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["flask_sluice.client", *arguments])
        code = main()
        return code, *capsys.readouterr()

    return run
