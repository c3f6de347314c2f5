"""The app in examples/channels: with Flask's test client, and under gunicorn with two users in browsers."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, Page, Route, expect

from flask_sluice import Channels
from flask_sluice.testing import open_stream
from tests.examples.pages import ExampleServer, load_example
from tests.support.chromium import open_tab
from tests.support.server import ROOT
from tests.system.redis_server import RedisServer

REFUSED = "Failed to load resource: the server responded with a status of 403"
LAST_ID = re.compile(r'encodeURIComponent\("([^"]+)"\)')


@pytest.fixture(scope="module")
def app(tmp_path_factory) -> Flask:
    app = load_example("channels").app
    app.config["DATABASE"] = str(tmp_path_factory.mktemp("database") / "messages.db")
    return app


@pytest.fixture
def ada(app) -> FlaskClient:
    return logged_in(app, "ada")


@pytest.fixture
def bob(app) -> FlaskClient:
    return logged_in(app, "bob")


class TestInProcess:
    def test_events_are_refused_to_those_who_are_not_logged_in(self, app):
        client = app.test_client()
        assert client.get("/events").status_code == 403
        assert client.post("/messages", data={"recipient": "", "text": "Hi"}).status_code == 403
        assert "Who are you?" in client.get("/").text

    @pytest.mark.parametrize("name", [" ", "n" * 41, "line\nbreak"])
    def test_a_name_that_no_user_can_have_is_refused(self, app, ada, name):
        assert app.test_client().post("/login", data={"name": name}).status_code == 400
        message = {"recipient": name.strip() or "\n", "text": "Hi"}
        assert ada.post("/messages", data=message).status_code == 400

    def test_what_is_sent_after_the_page_was_made_is_read_by_its_events(self, ada, bob):
        last_id = LAST_ID.search(bob.get("/").text)[1]
        send(ada, "bob", "for Bob")
        send(ada, "", "for all")
        with open_stream(bob, "/events", query_string={"last_event_id": last_id}) as events:
            texts = [event.json()["text"] for event in messages(events, 2)]
        assert sorted(texts) == ["for Bob", "for all"]

    def test_a_message_for_one_person_is_in_that_persons_page_alone(self, ada, bob):
        send(ada, "bob", "a secret of Bob's")
        assert "a secret of Bob" in bob.get("/").text
        assert "a secret of Bob" not in ada.get("/").text

    def test_a_script_in_a_message_is_not_run(self, ada, bob):
        send(ada, "bob", "</script><script>alert(1)</script>")
        assert "<script>alert" not in bob.get("/").text


def logged_in(app: Flask, name: str) -> FlaskClient:
    client = app.test_client()
    assert client.post("/login", data={"name": name}).status_code == 303
    return client


def send(client: FlaskClient, recipient: str, text: str) -> None:
    assert client.post("/messages", data={"recipient": recipient, "text": text}).status_code == 204


def messages(events, count):
    return islice((event for event in events if event.event == "message"), count)


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as redis:
        yield redis


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("database") / "messages.db"


@pytest.fixture(scope="module")
def server(redis, database) -> Iterator[ExampleServer]:
    """Two workers, with channels in Redis."""
    with ExampleServer(
        ROOT / "examples/channels",
        REDIS_URL=redis.url,
        DATABASE=str(database),
        GUNICORN_CMD_ARGS="--workers 2 --no-control-socket",
        PYTHONPATH=f"{ROOT}/wsgi",
    ) as server:
        yield server


@pytest.fixture
def log_in(browser: Browser, server: ExampleServer):
    """Returns a function that opens a browser of its own with the page of a user."""
    with ExitStack() as browsers:

        def log_in(name: str) -> Page:
            page = browsers.enter_context(open_tab(browser, [REFUSED]))
            page.goto(server.url)
            page.get_by_label("Who are you?").fill(name)
            page.get_by_role("button", name="Log in").click()
            expect(there(page).filter(has_text=name)).to_have_count(1)
            return page

        yield log_in


class Sender:
    """Somebody who sends messages, and has no page open."""

    def __init__(self, server: ExampleServer) -> None:
        self._url = server.url
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.post(f"{self._url}/login", {"name": "Eve"}, timeout=20)

    def send(self, recipient: str, text: str) -> None:
        message = {"recipient": recipient, "text": text}
        answer = self.session.post(f"{self._url}/messages", message, timeout=20)
        assert answer.status_code == 204


@pytest.fixture
def sender(server) -> Iterator[Sender]:
    sender = Sender(server)
    with sender.session:
        yield sender


def there(page: Page):
    return page.locator("#there li")


def shown(page: Page):
    return page.locator("#messages li")


def second_tab(page: Page) -> Page:
    tab = page.context.new_page()
    with tab.expect_response("**/events?**"):
        tab.goto(page.url)
    return tab


def write(page: Page, recipient: str, text: str) -> None:
    page.get_by_label("To").select_option(recipient)
    page.get_by_label("Message").fill(text)
    page.get_by_role("button", name="Send").click()


@pytest.mark.slow
class TestInBrowsers:
    def test_who_is_there_is_shown_to_the_others(self, log_in):
        ada = log_in("Ada")
        bob = log_in("Bob")
        for page in (ada, bob):
            expect(there(page)).to_have_text(["Ada", "Bob"], use_inner_text=True)

    @pytest.mark.measures
    def test_two_tabs_of_one_user_are_one_and_the_last_is_seen_to_close_within_a_second(
        self, log_in
    ):
        ada = log_in("Ada")
        bob = log_in("Bob")
        other = second_tab(bob)
        expect(there(other)).to_have_text(["Ada", "Bob"])
        other.close()
        write(ada, "", "are you there?")
        expect(shown(bob).first).to_contain_text("are you there?")
        expect(there(ada)).to_have_text(["Ada", "Bob"])
        bob.close()
        expect(there(ada)).to_have_text(["Ada"], timeout=1000)

    def test_a_message_reaches_only_the_person_that_it_is_for(self, log_in):
        ada, bob, cem = log_in("Ada"), log_in("Bob"), log_in("Cem")
        write(ada, "Bob", "for Bob")
        expect(shown(bob).first).to_contain_text("for Bob")
        write(ada, "", "for all")
        for page in (ada, bob, cem):
            expect(shown(page).first).to_contain_text("for all")
        for page in (ada, cem):
            expect(shown(page).filter(has_text="for Bob")).to_have_count(0)

    def test_a_message_between_the_page_and_its_connection_is_shown(self, log_in, sender):
        dan = log_in("Dan")

        def connect_late(route: Route) -> None:
            sender.send("Dan", "just in between")
            route.continue_()

        dan.route("**/events?**", connect_late)
        dan.reload()
        expect(shown(dan).filter(has_text="just in between")).to_have_count(1)

    def test_a_message_that_is_stored_before_the_page_and_published_after_it_is_shown_once(
        self, log_in, redis, database
    ):
        gil = log_in("Gil")
        with closing(sqlite3.connect(database)) as connection, connection:
            stored = connection.execute(
                "INSERT INTO messages VALUES (NULL, 'Eve', 'Gil', 'stored')"
            )
        gil.reload()
        message = {"id": stored.lastrowid, "sender": "Eve", "recipient": "Gil", "text": "stored"}
        channels = Channels(redis.url)
        channels.publish("user:Gil", message)
        channels.publish("user:Gil", {**message, "id": -1, "text": "the next"})
        channels.close()
        expect(shown(gil).first).to_contain_text("the next")
        expect(shown(gil).filter(has_text="stored")).to_have_count(1)

    def test_reloads_show_each_message_once_and_in_order(self, log_in, sender):
        fay = log_in("Fay")
        for number in range(20):
            sender.send("Fay", f"number {number:02}")
            if number % 5 == 0:
                fay.reload(wait_until="commit")
        expected = [re.compile(f"^number {number:02} ") for number in reversed(range(20))]
        expect(shown(fay).filter(has_text="number")).to_have_text(expected)

    def test_a_logout_ends_the_other_tab_which_does_not_come_back(self, log_in):
        ada = log_in("Ada")
        bob = log_in("Bob")
        at_work = log_in("Bob")
        other = second_tab(bob)
        answers = []
        other.on("response", lambda answer: answers.append((answer.url, answer.status)))
        bob.get_by_role("button", name="Log out").click()
        # It is shown when the EventSource has closed itself.
        expect(other.get_by_role("status")).to_have_text("You are logged out.")
        assert [status for url, status in answers if "/events" in url] == [403]
        write(ada, "Bob", "not for the tab that is logged out")
        expect(shown(at_work).first).to_contain_text("not for the tab")
        expect(shown(other).filter(has_text="not for the tab")).to_have_count(0)
