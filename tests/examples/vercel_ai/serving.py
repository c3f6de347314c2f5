"""The example's app on a server, for tests that decide when an answer goes on."""

import itertools
import os
from pathlib import Path

import requests

from tests.examples.vercel_ai.sdk import EXAMPLE
from tests.support.server import ROOT, Server

_numbers = itertools.count()
_WORDS = " ".join(f"word{number}" for number in range(20))
LONG_QUESTION = "word " * 10_000


class ChatServer(Server):
    """gates: a folder for what lets answers go on; folder: the example, or a copy"""

    def __init__(
        self,
        gates: Path,
        *arguments: str,
        configuration: str = "python:flask_sluice.server.settings",
        folder: Path = EXAMPLE,
        **environment: str,
    ) -> None:
        self.gates = gates
        super().__init__(
            "tests.examples.vercel_ai.gated_app:app",
            folder=folder,
            configuration=configuration,
            arguments=arguments,
            environment={
                "PYTHONPATH": f"{ROOT}/wsgi:{ROOT}",
                "FLASK_SECRET_KEY": "a key for tests",
                "FLASK_SECONDS_BETWEEN_WORDS": "0.005",
                "GATES": str(gates),
                **environment,
            },
        )

    def new_user(self) -> str:
        """Return the user's cookie."""
        response = requests.get(self.url, timeout=30)
        return f"session={response.cookies['session']}"

    def stop_answer(self, chat: str, cookie: str) -> None:
        url = f"{self.url}/api/chat/{chat}/stop"
        requests.post(url, headers={"Cookie": cookie}, timeout=30).raise_for_status()


class GatedQuestion:
    """A question whose answer waits in the middle until ``go_on``.

    half: what pages have of the answer by then; answer: the whole
    """

    def __init__(self, server: ChatServer) -> None:
        gate = f"gate-{os.getpid()}-{next(_numbers)}"
        self._file = server.gates / gate
        self.text = f"{_WORDS} {gate} {_WORDS}"
        self.half = f"You asked: {_WORDS}"
        self.answer = f"You asked: {self.text}"

    def go_on(self) -> None:
        self._file.touch()
