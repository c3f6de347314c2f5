"""Streams for these tests, which run on what the process has: threads, or gevent where it is patched."""

import threading
import uuid

import pytest

from tests.unit.kept_streams import make_streams


@pytest.fixture(autouse=True)
def journals_of_greenlets():
    """These journals run on what the process has: threads, or gevent where it is patched."""


@pytest.fixture(autouse=True)
def no_thread_fails(monkeypatch):
    failures = []
    monkeypatch.setattr(threading, "excepthook", failures.append)
    yield
    assert failures == []


@pytest.fixture
def open_streams_with():
    """Returns a function that makes Streams with these limits."""
    made = []

    def open_(**limits):
        made.append(make_streams(**limits))
        return made[-1]

    yield open_
    for streams in made:
        streams.close()


@pytest.fixture
def streams(open_streams_with):
    return open_streams_with()


@pytest.fixture
def key():
    """A key that no other test has."""
    return f"chat:{uuid.uuid4().hex}"
