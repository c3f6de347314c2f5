"""The app in examples/datastar: its events, which the official SDK makes, and what Datastar makes of them in a browser."""

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from datastar_py import ServerSentEventGenerator
from flask.testing import FlaskClient
from playwright.sync_api import Browser, Page, expect

from flask_sluice.testing import StreamReader, read_events
from tests.examples.pages import (
    ANSWER,
    ENDLESS_QUESTION,
    FAILURE,
    QUESTION,
    ExamplePage,
    ExampleServer,
    copy_example,
    load_example,
    long_question,
)
from tests.support.chromium import open_tab
from tests.support.server import wait_until

# Datastar is not in the npm registry since its version 1.0. This package has its release 1.0.1, with two corrections of its own.
CARRIER = "starhtml==0.7.0"
MODULE = "starhtml/static/js/datastar-core.js"
PATCH = "datastar-patch-elements"
SIGNALS = "datastar-patch-signals"


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return load_example("datastar").app.test_client()


def read_answer(client: FlaskClient, question: str, **options: object) -> StreamReader:
    return read_events(client, "/answer", method="POST", json={"question": question}, **options)


def test_the_sdks_text_is_sent_as_it_is(client):
    stream = read_answer(client, "1", headers={"Last-Event-ID": "2"})
    made = ServerSentEventGenerator.patch_elements(
        "<span>1</span>", selector="#text", mode="append", event_id="3"
    )
    counted = ServerSentEventGenerator.patch_signals({"_pieces": 3})
    assert stream.body == b": stream\n" + made.encode() + counted.encode()


def test_an_answer_is_patches_whose_text_is_escaped(client):
    stream = read_answer(client, "<i>1</i>\n\n2")
    assert stream.outcome == "complete"
    append = "mode append\nselector #text\nelements"
    assert [(event.event, event.id, event.data) for event in stream.events] == [
        (PATCH, "", 'elements <p id="text" aria-live="polite"></p>'),
        (PATCH, "1", f"{append} <span>You asked:</span>"),
        (PATCH, "2", f"{append} <span>\nelements \nelements </span>"),
        (PATCH, "3", f"{append} <span>&lt;i&gt;1&lt;/i&gt;</span>"),
        (PATCH, "4", f"{append} <span>\nelements \nelements </span>"),
        (PATCH, "5", f"{append} <span>2</span>"),
        (SIGNALS, "5", 'signals {"_pieces":5}'),
    ]


def test_a_repeated_request_gets_what_comes_after_its_last_piece(client):
    stream = read_answer(client, "1 2", headers={"Last-Event-ID": "4"})
    assert [(event.event, event.id) for event in stream.events] == [(PATCH, "5"), (SIGNALS, "5")]


def test_an_exception_is_a_patch(client):
    stream = read_answer(client, "please fail now")
    assert (stream.outcome, stream.events[-1].event) == ("error", PATCH)
    assert FAILURE in stream.events[-1].data
    assert "language model" not in stream.text


def test_the_generator_ends_with_its_reader(client):
    stream = read_answer(client, "1 2", leave_after=3)
    assert (stream.outcome, stream.is_generator_closed) == ("left", True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleServer]:
    """The app, with Datastar where the README's command puts it."""
    downloads = tmp_path_factory.mktemp("datastar")
    folder = copy_example("datastar", downloads)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    # Only a file of the package is needed, so neither its dependencies nor its Python.
    options = ["--no-deps", "--ignore-requires-python", "--dest", str(downloads)]
    subprocess.run([*pip, *options, CARRIER], check=True)
    (wheel,) = downloads.glob("*.whl")
    extract(wheel, MODULE, folder / "static/datastar.js")
    with ExampleServer(folder) as server:
        yield server


def extract(wheel: Path, name: str, target: Path) -> None:
    target.parent.mkdir()
    with zipfile.ZipFile(wheel) as archive, archive.open(name) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with open_tab(browser) as page:
        yield page


@pytest.fixture
def disturbed_page(browser: Browser) -> Iterator[Page]:
    """A tab in which the browser and Datastar may complain of a connection that breaks."""
    complaints = ("Failed to load resource: ", "network error", "Datastar failed to reach")
    with open_tab(browser, complaints) as page:
        yield page


def wait_until_datastar_has_finished(page: Page) -> None:
    """Wait until its action is over; what it may repeat, it repeats before."""
    expect(page.locator("main[aria-busy]")).to_have_count(0)


@pytest.mark.slow
def test_the_answer_in_the_page_is_complete_and_in_order(page, server):
    example = ExamplePage(page, server.url)
    example.record(
        is_busy="document.querySelector('main[aria-busy]') !== null",
        has_count="document.querySelector('#count')?.checkVisibility() ?? false",
    )
    example.ask(QUESTION)
    example.wait_for_answer(ANSWER)
    parts = [shown for shown in example.recorded if "this" in shown["text"] != ANSWER]
    assert parts
    assert all(shown["is_busy"] and not shown["has_count"] for shown in parts)
    pieces = page.locator("#text span").count()
    expect(page.locator("#count")).to_have_text(f"Complete, in {pieces} pieces.")


@pytest.mark.slow
def test_the_end_of_the_stream_is_the_end_of_the_action(page, server):
    example = ExamplePage(page, server.url)
    asked_before = len(server.last_event_ids())
    example.ask("once")
    example.wait_for_answer("You asked:\n\nonce")
    wait_until_datastar_has_finished(page)
    wait_until(lambda: len(server.last_event_ids()) > asked_before)
    assert len(server.last_event_ids()) == asked_before + 1


@pytest.mark.slow
def test_an_error_is_shown_below_the_words_before_it_and_is_the_end(page, server):
    example = ExamplePage(page, server.url)
    asked_before = len(server.last_event_ids())
    example.ask("please fail now")
    expect(example.alert).to_have_text(FAILURE)
    example.wait_for_answer(f"You asked:\n\nplease {FAILURE}")
    wait_until_datastar_has_finished(page)
    wait_until(lambda: len(server.last_event_ids()) > asked_before)
    assert len(server.last_event_ids()) == asked_before + 1


@pytest.mark.measures
@pytest.mark.slow
def test_leaving_the_page_ends_the_generator_within_a_second(page, server):
    example = ExamplePage(page, server.url)
    cancelled_before = server.count_ends("cancelled")
    example.ask(ENDLESS_QUESTION)
    example.wait_for_word("word")
    page.goto("about:blank")
    wait_until(lambda: server.count_ends("cancelled") > cancelled_before, timeout_seconds=1)


@pytest.mark.slow
def test_the_next_question_ends_the_answer_before_it(page, server):
    example = ExamplePage(page, server.url)
    cancelled_before = server.count_ends("cancelled")
    example.ask(ENDLESS_QUESTION)
    example.wait_for_word("word")
    example.ask(QUESTION)
    wait_until(lambda: server.count_ends("cancelled") > cancelled_before)
    example.wait_for_answer(ANSWER)


@pytest.mark.slow
def test_an_answer_whose_connection_breaks_goes_on_after_the_last_piece(disturbed_page, server):
    example = ExamplePage(disturbed_page, server.url)
    asked_before = len(server.last_event_ids())
    example.ask(long_question("broken"))
    example.wait_for_word("2")
    server.kill_worker()
    example.wait_for_answer(f"You asked:\n\n{long_question('broken')}")
    wait_until_datastar_has_finished(disturbed_page)
    (sent_id,) = wait_until(lambda: server.last_event_ids()[asked_before:])
    assert int(sent_id) > 4
