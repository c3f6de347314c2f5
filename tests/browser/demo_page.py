"""The demo page as a user handles and sees it."""

import json
from typing import Any

import requests
from playwright.sync_api import Page, Response, Route, expect

from tests.support.server import Server, wait_until

STREAM_PATHS = {
    "fetch": "/v1/chat/completions",
    "eventsource": "/stream_chat",
    "resumable": "/v1/streams",
}


class DemoPage:
    """The page of a server, in a tab."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page = page
        self.server = server
        self.question = page.locator("#question")
        self.ask_button = page.locator("#ask")
        self.stop_button = page.locator("#stop")
        self.status = page.locator("#status")
        self.answer = page.locator("#answer")
        self.wire = page.locator("#wire")
        self.first_token = page.locator("#first-token")
        self.rate = page.locator("#rate")
        self.count = page.locator("#count")
        page.goto(server.url)
        # The page's script enables the button when everything else is ready.
        expect(self.ask_button).to_be_enabled()

    def simulate(self, **options: Any) -> None:
        """Send these options for the simulator with all further questions."""

        def add_options(route: Route) -> None:
            body = route.request.post_data_json
            route.continue_(post_data=json.dumps({**body, "simulator": options}))

        for transport in ("fetch", "resumable"):
            self.page.route(f"**{STREAM_PATHS[transport]}", add_options)

    def choose(self, transport: str) -> None:
        self.page.check(f"input[value={transport}]")

    def ask(self, question: str, transport: str = "fetch") -> None:
        self.choose(transport)
        self.question.fill(question)
        self.ask_button.click()

    def ask_and_get_response(self, question: str, transport: str) -> Response:
        with self.page.expect_response(f"**{STREAM_PATHS[transport]}*") as response:
            self.ask(question, transport)
        return response.value

    def wait_for_state(self, state: str) -> None:
        expect(self.status).to_have_attribute("data-state", state)

    def wait_for_growth(self) -> None:
        """Wait until the answer is longer than now, while its stream still runs."""
        self.page.wait_for_function(
            """length => document.querySelector("#status").dataset.state === "streaming"
                && document.querySelector("#answer").textContent.length > length""",
            arg=len(self.answer.text_content()),
        )

    def wait_until_server_has_cancelled(self, response: Response) -> None:
        end = {"request_id": response.headers["x-request-id"], "outcome": "cancelled"}
        wait_until(lambda: self.server.logged("stream ended", **end))

    def rows(self, kind: str) -> list[str]:
        """Return the rows of the raw view of a kind: ``event``, ``comment``, or ``note`` (the page's own text)."""
        return self.wire.locator(f"[data-kind={kind}] code").all_text_contents()


def whole_answer(server: Server, question: str, **simulator: Any) -> str:
    """Return the answer to the same question without streaming."""
    body = {
        "model": "any",
        "messages": [{"role": "user", "content": question}],
        "simulator": {"itl_ms": 0, **simulator},
    }
    response = requests.post(f"{server.url}{STREAM_PATHS['fetch']}", json=body, timeout=10)
    return response.json()["choices"][0]["message"]["content"]
