"""The examples with a page, examples/htmx and examples/datastar: their apps, servers and what a user sees."""

import importlib.util
import os
import re
import shutil
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.server import ROOT, Server, wait_until

QUESTION = (
    "Is <b>this</b> & that\n\n  one   answer?\n<script>alert(1)</script> \N{GRINNING FACE} yes"
)
ANSWER = f"You asked:\n\n{QUESTION}"
# It takes 24 s; a longer one would not fit into the URL.
ENDLESS_QUESTION = "word " * 400
FAILURE = "The answer broke off here."


def long_question(name: str, words: int = 30) -> str:
    """Return a question whose answer takes 16 words a second. The name tells its requests from others."""
    return " ".join([*map(str, range(words)), name])


def load_example(name: str) -> ModuleType:
    """Import the app of an example, as a module of its own: each of them is called ``app``."""
    module_name = f"examples_{name}"
    folder = ROOT / "examples" / name
    spec = importlib.util.spec_from_file_location(module_name, folder / "app.py")
    module = importlib.util.module_from_spec(spec)
    # Flask looks for the templates beside the file of the module of this name.
    sys.modules[module_name] = module
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        spec.loader.exec_module(module)
    return module


def copy_example(name: str, folder: Path) -> Path:
    """Copy an example, so that what its README installs does not come into the repository."""
    copy = folder / name
    shutil.copytree(
        ROOT / "examples" / name, copy, ignore=shutil.ignore_patterns("static", "__pycache__")
    )
    return copy


class ExampleServer(Server):
    """An example under gunicorn, as its README starts it."""

    def __init__(self, folder: Path, app: str = "app:app", **environment: str) -> None:
        log_format = "requested %(U)s?%(q)s Last-Event-ID: %({last-event-id}i)s"
        super().__init__(
            app,
            configuration="python:flask_sluice.server.settings",
            arguments=("--access-logfile", "-", "--access-logformat", log_format),
            folder=folder,
            environment=environment,
        )

    def last_event_ids(self, query: str = "") -> list[str]:
        """Return the Last-Event-ID, or "-", of each request for an answer with this query that has ended."""
        pattern = rf"^requested /answer[^?]*\?{re.escape(query)} Last-Event-ID: (.+)$"
        return re.findall(pattern, self.log, re.MULTILINE)

    def count_ends(self, outcome: str | None = None) -> int:
        """Return how many answers have ended, or ended so."""
        wanted = {} if outcome is None else {"outcome": outcome}
        return len(self.logged("stream ended", **wanted))

    def kill_worker(self) -> None:
        """Kill the one worker, so that connections break; gunicorn starts another."""
        (killed,) = self.workers()
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: self.workers() not in ([], [killed]))
        self.wait_until_ready()


class ExamplePage:
    """The page of an example, in a tab."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        page.goto(url)

    @property
    def text(self) -> Locator:
        return self.page.locator("#text")

    @property
    def alert(self) -> Locator:
        return self.page.get_by_role("alert")

    def ask(self, question: str) -> None:
        self.page.fill("#question", question)
        self.page.get_by_role("button", name="Ask").click()

    def record(self, **expressions: str) -> None:
        """Have the page note what these are at each change of it, from now on; see ``recorded``.

        A look from here may come late. ``text`` is noted always.
        """
        noted = {"text": "document.querySelector('#text')?.textContent ?? ''", **expressions}
        fields = ", ".join(f"{name}: {expression}" for name, expression in noted.items())
        self.page.evaluate(
            f"""() => {{
                window.recorded = [];
                const observer = new MutationObserver(() => window.recorded.push({{{fields}}}));
                const all = {{ subtree: true, childList: true, characterData: true, attributes: true }};
                observer.observe(document.body, all);
            }}"""
        )

    @property
    def recorded(self) -> list[dict[str, Any]]:
        return self.page.evaluate("window.recorded")

    def wait_for_word(self, word: str) -> None:
        """Wait until the answer has the word, while more words are to come."""
        expect(self.text).to_contain_text(re.compile(rf"\b{word}\b"))

    def wait_for_answer(self, answer: str) -> None:
        """Wait until the answer is exactly this, to the last space."""
        self.page.wait_for_function(
            "answer => document.querySelector('#text')?.textContent === answer", arg=answer
        )
