"""A server that sends what the test tells it, and a client for it."""

import sys
import threading
from collections.abc import Iterator

import pytest

from tests.server.raw_upstream import RawUpstream
from wsgi.client import SSEClient, Timeouts
from wsgi.client.__main__ import main


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
    """Runs ``python -m wsgi.client`` in this process; returns the exit code and what it printed."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["wsgi.client", *arguments])
        code = main()
        return code, *capsys.readouterr()

    return run
