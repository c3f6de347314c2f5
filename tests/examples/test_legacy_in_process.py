"""The app in examples/legacy, tested as its own authors would: with Flask's test client and ``flask_sluice.testing``."""

import importlib

import pytest
from flask.testing import FlaskClient

from flask_sluice.testing import read_events
from tests.support.server import ROOT


@pytest.fixture
def client(monkeypatch, tmp_path) -> FlaskClient:
    """Ada's, who is logged in."""
    monkeypatch.syspath_prepend(ROOT / "examples/legacy")
    monkeypatch.setenv("HELPDESK_SECRET_KEY", "a key for tests")
    monkeypatch.setenv("HELPDESK_SQLALCHEMY_DATABASE_URI", f"sqlite:///{tmp_path}/helpdesk.db")
    monkeypatch.setenv("HELPDESK_SECONDS_BETWEEN_WORDS", "0.01")
    app = importlib.import_module("helpdesk").create_app()
    app.testing = True
    app.test_cli_runner().invoke(args=["create-user", "ada", "ada's password"])
    client = app.test_client()
    client.post("/login", data={"name": "ada", "password": "ada's password"})
    return client


def ask(client: FlaskClient, text: str) -> str:
    return f"/questions/{client.post('/questions', json={'text': text}).json['id']}"


def text_of(stream) -> str:
    return "".join(event.json()["text"] for event in stream.events if event.event == "message")


def test_an_answer_is_streamed_word_by_word_and_saved(client):
    path = ask(client, "Why stream?")
    stream = read_events(client, f"{path}/answer")
    assert (stream.outcome, text_of(stream)) == ("complete", "You asked: Why stream?")
    times = [event.at_seconds for event in stream.events]
    assert times == sorted(times)
    assert times[2] - times[0] >= 0.02
    assert client.get(path).json["state"] == "complete"


def test_an_answer_whose_reader_leaves_is_saved_as_far_as_it_went(client):
    path = ask(client, "Why stream?")
    stream = read_events(client, f"{path}/answer", leave_after=2)
    assert (stream.outcome, stream.is_generator_closed) == ("left", True)
    assert client.get(path).json == {
        "text": "Why stream?",
        "answer": "You asked: Why",
        "state": "cancelled",
    }


def test_an_answer_that_fails_is_an_error(client):
    path = ask(client, "please fail")
    stream = read_events(client, f"{path}/answer")
    assert (stream.outcome, type(stream.error)) == ("error", ConnectionError)
    assert client.get(path).json["state"] == "failed"


def test_a_reader_who_is_not_logged_in_gets_no_stream(client):
    path = ask(client, "Why?")
    client.post("/logout")
    assert read_events(client, f"{path}/answer").status == 401
