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

# An EventSource without htmx reads the kept answer, asks again a second after its end, and is told by 204 that there is no more.
READ_TO_THE_END = """url => new Promise(resolve => {
  const source = new EventSource(url);
  source.onerror = () => { if (source.readyState === EventSource.CLOSED) resolve(); };
})"""


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
    """A tab in which errors are expected."""
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
    with page.expect_request("**/answers/*") as request:
        example.ask("please fail now")
    expect(example.alert).to_have_text(FAILURE)
    example.wait_for_answer("You asked:\n\nplease ")
    for _ in range(2):
        page.evaluate(READ_TO_THE_END, request.value.url)
    last_id = "6"  # what empties the answer, four pieces, the error
    seen = wait_until(lambda: (ids := server.last_event_ids()[asked_before:])[4:] and ids)
    assert seen == ["-", *("-", last_id), *("-", last_id)]
