"""The demo page in front of an upstream."""

import pytest

from tests.browser.demo_page import DemoPage
from tests.support.server import Server

pytestmark = pytest.mark.slow


def test_the_page_asks_an_upstream_for_a_model_that_it_lists(page):
    with (
        Server(models="upstream-model") as upstream,
        Server(upstream=f"{upstream.url}/v1") as relay,
    ):
        demo = DemoPage(page, relay)
        demo.simulate(itl_ms=0, tokens=20)
        demo.ask("Why?")
        demo.wait_for_state("done")
        assert relay.logged("stream ended", model="upstream-model")
