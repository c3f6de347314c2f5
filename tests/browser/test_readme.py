"""The examples for the browser in the README and in docs/, run as they are written, in a page of the server's origin."""

import json

import pytest
from playwright.sync_api import Page, Route

from tests.support.odd_answers import DONE, ODD_CHUNKS, SPOKEN
from tests.support.readme import Example, examples
from tests.support.server import Server

pytestmark = pytest.mark.slow

HTML = (
    "<!doctype html><html><head><link rel='icon' href='data:,'></head><body>{script}</body></html>"
)

# What follows the last text in the same response is shown by then.
TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def open_example(page: Page, server: Server, example: Example) -> None:
    script = f"<script type='module'>{example.code}</script>"
    page.route(
        f"{server.url}/example",
        lambda route: route.fulfill(content_type="text/html", body=HTML.format(script=script)),
    )
    page.goto(f"{server.url}/example")


def shorten(route: Route) -> None:
    """Let a POST ask for an answer that comes at once."""
    if route.request.method != "POST":
        route.continue_()
        return
    body = {**route.request.post_data_json, "simulator": {"itl_ms": 0, "tokens": 50}}
    route.continue_(post_data=json.dumps(body))


@pytest.mark.parametrize("example", examples("js"), ids=str)
def test_the_example_shows_the_answer(page, sluice, example):
    page.route("**/v1/**", shorten)
    open_example(page, sluice, example)
    page.wait_for_function("document.body.innerText.length >= 100")


@pytest.mark.parametrize("end", [[DONE], []], ids=["with-done", "without-done"])
@pytest.mark.parametrize(
    "example", [each for each in examples("js") if "/v1/" in each.code], ids=str
)
def test_the_example_shows_the_answer_of_a_server_that_differs(page, sluice, example, end):
    answer = b"".join([*ODD_CHUNKS, *end])
    if "/v1/streams" in example.code:
        answer = b"".join([*ODD_CHUNKS, b"event: done\ndata: {}\n\n"])
    stream = {"content_type": "text/event-stream", "body": answer}
    created = {"status": 201, "json": {"url": "/v1/streams/1"}}
    page.route("**/v1/**", lambda route: route.fulfill(**stream))
    page.route("**/v1/streams", lambda route: route.fulfill(**created))
    open_example(page, sluice, example)
    page.wait_for_function(f"document.body.innerText.trim() === '{SPOKEN}'")
    page.evaluate(TWO_FRAMES)
    assert page.inner_text("body").strip() == SPOKEN


@pytest.mark.parametrize(
    "example", [each for each in examples("js") if "/v1/chat" in each.code], ids=str
)
def test_the_example_tells_that_an_answer_was_cut_off(page, sluice, example):
    stream = {"content_type": "text/event-stream", "body": b"".join(ODD_CHUNKS[:-2])}
    page.route("**/v1/**", lambda route: route.fulfill(**stream))
    open_example(page, sluice, example)
    page.wait_for_function(f"document.body.innerText.trim().startsWith('{SPOKEN}[')")
