"""The app in examples/legacy under a real gunicorn, with its own settings."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.server import ROOT, Server, clean_environment, wait_until

FOLDER = ROOT / "examples/legacy"
LONG_QUESTION = "word " * 5000


@pytest.fixture(scope="module")
def legacy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    database: Path = tmp_path_factory.mktemp("legacy") / "helpdesk.db"
    environment = {
        "HELPDESK_SECRET_KEY": "a key for tests",
        "HELPDESK_SQLALCHEMY_DATABASE_URI": f"sqlite:///{database}",
        "HELPDESK_SECONDS_BETWEEN_WORDS": "0.02",
    }
    for name in ("ada", "grace"):
        # Without --app: Flask finds the wsgi.py in the folder.
        subprocess.run(
            [sys.executable, "-m", "flask", "create-user", name, f"{name}'s password"],
            cwd=FOLDER,
            env={**clean_environment(), **environment},
            check=True,
        )
    with Server("wsgi:app", folder=FOLDER, environment=environment) as server:
        yield server


class User:
    def __init__(self, server: Server, name: str) -> None:
        self._url = server.url
        self._session = requests.Session()
        self._session.trust_env = False
        form = {"name": name, "password": f"{name}'s password"}
        self._session.post(f"{self._url}/login", data=form, timeout=30).raise_for_status()

    def ask(self, text: str) -> int:
        response = self._session.post(f"{self._url}/questions", json={"text": text}, timeout=30)
        return response.json()["id"]

    def show(self, question_id: int) -> dict[str, str]:
        return self._session.get(f"{self._url}/questions/{question_id}", timeout=30).json()

    def stream(self, question_id: int) -> requests.Response:
        url = f"{self._url}/questions/{question_id}/answer"
        return self._session.get(url, stream=True, timeout=30)

    def read(self, question_id: int) -> list[str]:
        with self.stream(question_id) as response:
            return response.text.removeprefix(": stream\n").split("\n\n")


@pytest.fixture
def ada(legacy: Server) -> User:
    return User(legacy, "ada")


def word(text: str) -> str:
    return f"data: {json.dumps({'text': text}, separators=(',', ':'))}"


def test_the_answer_is_streamed_and_saved(ada):
    question_id = ada.ask("Why stream?")
    events = ada.read(question_id)
    words = [word("You asked:"), word(" Why"), word(" stream?")]
    assert events == [*words, "event: done\ndata: ", ""]
    saved = {"text": "Why stream?", "answer": "You asked: Why stream?", "state": "complete"}
    wait_until(lambda: ada.show(question_id) == saved)
    # A second reading comes from the database.
    assert ada.read(question_id)[:2] == [word("You asked: Why stream?"), "event: done\ndata: "]


def test_the_answer_is_saved_although_the_user_leaves_at_its_terminal_event(ada):
    question_id = ada.ask("Why stream?")
    with ada.stream(question_id) as response:
        lines = response.iter_lines()
        assert b"event: done" in lines
    wait_until(lambda: ada.show(question_id)["state"] == "complete")


def test_a_user_who_leaves_closes_the_generator(ada):
    question_id = ada.ask(LONG_QUESTION)
    with ada.stream(question_id) as response:
        lines = response.iter_lines()
        assert word("You asked:").encode() in lines
        # The first event is here although nothing has been saved: it did not wait for the end.
        assert ada.show(question_id)["state"] == "new"
    wait_until(lambda: ada.show(question_id)["state"] == "cancelled")
    answer = ada.show(question_id)["answer"]
    assert answer.startswith("You asked:")
    assert len(answer) < len(LONG_QUESTION)


def test_an_exception_becomes_an_error_event(legacy, ada):
    question_id = ada.ask("please fail now")
    events = ada.read(question_id)
    assert word(" please") in events
    assert "event: error" in events[-2]
    assert "language model" not in events[-2]
    wait_until(lambda: ada.show(question_id)["state"] == "failed")
    wait_until(lambda: "ConnectionError: the language model does not answer" in legacy.log)


def test_a_request_without_a_login_is_turned_away(legacy, ada):
    question_id = ada.ask("Why stream?")
    url = f"{legacy.url}/questions/{question_id}/answer"
    program = requests.get(url, headers={"Accept": "text/event-stream"}, timeout=30)
    assert program.status_code == 401
    page = requests.get(
        legacy.url, headers={"Accept": "text/html"}, timeout=30, allow_redirects=False
    )
    assert page.status_code == 302
    assert page.headers["Location"].endswith("/login")


def test_a_user_cannot_read_the_answer_to_another_user(legacy, ada):
    question_id = ada.ask("Why stream?")
    with User(legacy, "grace").stream(question_id) as response:
        assert response.status_code == 404


def test_the_number_of_workers_is_the_apps_own(legacy):
    wait_until(lambda: legacy.log.count("Booting worker with pid") == 2)


@pytest.mark.slow
def test_its_types_are_right(tmp_path):
    # Flask-Login has no types, so what derives from it has none either.
    options = ["--ignore-missing-imports", "--allow-subclassing-any", "--allow-untyped-decorators"]
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *options, "--cache-dir", str(tmp_path), "."],
        cwd=FOLDER,
        env={**clean_environment(), "MYPYPATH": str(ROOT / "wsgi")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
