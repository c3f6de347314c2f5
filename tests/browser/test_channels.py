"""Channels, read by a browser's EventSource."""

import os
import signal

import pytest

from flask_sluice.channels import Channels
from tests.support.server import Server, wait_until
from tests.system.redis_server import RedisServer

pytestmark = pytest.mark.slow


@pytest.fixture
def expected_complaints():
    """Chromium itself reports the connection that breaks, and that the app has no favicon."""
    return ["Failed to load resource: "]


def test_a_quiet_channel_misses_nothing_over_a_connection_that_breaks_before_the_first_event(page):
    with (
        RedisServer() as redis,
        Server("tests.server.channels_app:app", redis_url=redis.url) as server,
    ):
        channels = Channels(redis.url)
        page.goto(f"{server.url}/healthz")
        page.evaluate(
            """() => {
                window.events = [];
                window.source = new EventSource('/read?channel=quiet&owner=7');
                window.source.onmessage = event => window.events.push(event.data);
            }"""
        )
        wait_until(lambda: channels.present("quiet"))
        page.wait_for_function("window.source.readyState === EventSource.OPEN")
        (worker,) = server.workers()
        os.kill(worker, signal.SIGKILL)
        page.wait_for_function("window.source.readyState === EventSource.CONNECTING")
        channels.publish("quiet", "while nobody was connected")
        page.wait_for_function("window.events.length > 0")
        channels.publish("quiet", "afterwards")
        page.wait_for_function("window.events.length > 1")
        assert page.evaluate("window.events") == [
            '"while nobody was connected"',
            '"afterwards"',
        ]
        channels.close()
