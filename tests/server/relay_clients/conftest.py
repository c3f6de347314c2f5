"""Upstreams, each alone and with a relay in front of it."""

import uuid
from collections.abc import Iterator

import pytest

from tests.server.raw_upstream import RawUpstream
from tests.server.relay_clients.exchanges import Script
from tests.support.server import Server


@pytest.fixture(scope="module")
def upstream() -> Iterator[Server]:
    """The simulator."""
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def relay(upstream: Server) -> Iterator[Server]:
    with Server(upstream=f"{upstream.url}/v1") as server:
        yield server


@pytest.fixture
def request_id() -> str:
    return uuid.uuid4().hex


@pytest.fixture(scope="module")
def raw_relay(raw_upstream: RawUpstream) -> Iterator[Server]:
    with Server(upstream=raw_upstream.url) as server:
        yield server


@pytest.fixture
def script(raw_upstream: RawUpstream, raw_relay: Server) -> Script:
    return Script(raw_upstream, raw_relay)


@pytest.fixture(params=["direct", "relayed"])
def script_url(request: pytest.FixtureRequest, script: Script) -> str:
    return script.url if request.param == "direct" else script.relay_url
