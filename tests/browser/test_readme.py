"""The README's examples for the browser, run as they are written, in a page of the server's origin."""

import json

import pytest
from playwright.sync_api import Page, Route

from tests.support.readme import example
from tests.support.server import Server

pytestmark = pytest.mark.slow

HTML = (
    "<!doctype html><html><head><link rel='icon' href='data:,'></head><body>{script}</body></html>"
)


def open_example(page: Page, server: Server, mark: str) -> None:
    script = f"<script type='module'>{example('js', mark)}</script>"
    page.route(
        f"{server.url}/example",
        lambda route: route.fulfill(content_type="text/html", body=HTML.format(script=script)),
    )
    page.goto(f"{server.url}/example")


def wait_for_text(page: Page, characters: int) -> None:
    page.wait_for_function("n => document.body.innerText.length >= n", arg=characters)


def test_the_event_source_example_shows_the_answer_as_it_comes(page, sluice):
    open_example(page, sluice, "new EventSource(")
    wait_for_text(page, 5)
    wait_for_text(page, 15)


def shorten(route: Route) -> None:
    body = {**route.request.post_data_json, "simulator": {"itl_ms": 0, "tokens": 50}}
    route.continue_(post_data=json.dumps(body))


def test_the_fetch_example_shows_the_whole_answer(page, sluice):
    page.route("**/v1/chat/completions", shorten)
    open_example(page, sluice, "new FetchEventSource(")
    wait_for_text(page, 100)
