"""The app in examples/htmx/kept.py: pages read an answer that is kept, with htmx 2 and htmx 4 in a browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.examples.htmx import COMPLAINTS, VERSIONS, install_htmx
from tests.examples.pages import (
    FAILURE,
    ExamplePage,
    ExampleServer,
    long_question,
)
from tests.server.raw_upstream import RawUpstream
from tests.support.chromium import open_tab
from tests.support.proxy import forwards_to
from tests.support.server import wait_until

pytestmark = pytest.mark.slow

# The event of htmx 2, and of htmx 4, for a connection that is closed for good.
COUNT_CLOSED = """
closedStreams = 0;
for (const name of ["htmx:sseClose", "htmx:sse:close"]) {
  document.addEventListener(name, () => { closedStreams += 1; });
}
"""


@pytest.fixture(scope="module", params=VERSIONS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ExampleServer]:
    folder = install_htmx(request.param, tmp_path_factory.mktemp("kept"))
    with ExampleServer(folder, "kept:app", HTMX=request.param) as server:
        yield server


@pytest.fixture
def proxy(server: ExampleServer) -> Iterator[RawUpstream]:
    """Stands between the browser and the server, so that connections can be broken."""
    with RawUpstream(forwards_to(server.port)) as proxy:
        yield proxy


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab in which connections may break."""
    with open_tab(browser, COMPLAINTS) as page:
        yield page


def test_an_answer_is_exact_although_its_connection_breaks_twice(page, server, proxy):
    example = ExamplePage(page, f"http://{proxy.host}")
    asked_before = len(server.last_event_ids())
    question = long_question("kept", words=60)
    example.ask(question)
    for word in ("2", "30"):
        example.wait_for_word(word)
        proxy.close_connections()
    example.wait_for_answer(f"You asked:\n\n{question}")
    first, second, third = wait_until(
        lambda: (ids := server.last_event_ids()[asked_before:])[2:] and ids
    )
    assert first == "-"
    assert 4 < int(second) < int(third)


def test_an_error_is_shown_and_the_kept_answer_is_not_asked_for_again(page, server):
    example = ExamplePage(page, server.url)
    asked_before = len(server.last_event_ids())
    page.evaluate(COUNT_CLOSED)
    example.ask("please fail now")
    expect(example.alert).to_have_text(FAILURE)
    example.wait_for_answer(f"You asked:\n\nplease {FAILURE}")
    page.wait_for_function("closedStreams === 1")
    assert len(server.last_event_ids()) == asked_before + 1
