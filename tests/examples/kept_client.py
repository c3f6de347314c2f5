"""A user of the examples whose streams are kept."""

import time
from collections.abc import Iterator

import requests

from flask_sluice.sse import EventParser, ReceivedEvent
from tests.support.server import Server, wait_until

TIMEOUT_SECONDS = 30


class User:
    """Has a session, as a browser has. path: of the streams"""

    def __init__(self, server: Server, path: str) -> None:
        self._url = f"{server.url}{path}"
        self._root = server.url
        self.session = requests.Session()
        self.session.trust_env = False

    def begin(self, question: str) -> str:
        """Ask a question. Returns the id of the stream."""
        response = self.ask(question)
        assert response.status_code == 202, response.text
        return response.json()["id"]

    def ask(self, question: str) -> requests.Response:
        return self.session.post(self._url, json={"question": question}, timeout=TIMEOUT_SECONDS)

    def get(self, path: str) -> requests.Response:
        return self.session.get(f"{self._root}{path}", timeout=TIMEOUT_SECONDS)

    def status(self, stream_id: str) -> dict:
        return self.session.get(f"{self._url}/{stream_id}/status", timeout=TIMEOUT_SECONDS).json()

    def stop(self, stream_id: str) -> None:
        response = self.session.delete(f"{self._url}/{stream_id}", timeout=TIMEOUT_SECONDS)
        assert response.status_code == 204

    def open(self, stream_id: str, after: str = "") -> requests.Response:
        """Each time over a connection of its own, which any worker may take."""
        return requests.get(
            f"{self._url}/{stream_id}",
            headers={"Last-Event-ID": after, "Connection": "close"}
            if after
            else {"Connection": "close"},
            cookies=self.session.cookies,
            stream=True,
            timeout=TIMEOUT_SECONDS,
        )

    def events(self, stream_id: str, after: str = "") -> Iterator[ReceivedEvent]:
        """The events as they come, to the end of the response."""
        parser = EventParser()
        with self.open(stream_id, after) as response:
            assert response.status_code == 200, response.text
            for chunk in response.iter_content(None):
                yield from parser.feed(chunk)

    def until_ended(self, stream_id: str, seconds: float = 20) -> dict:
        """Wait for the stream's end. Returns its status."""

        def status() -> dict | None:
            found = self.status(stream_id)
            return None if found["state"] == "running" else found

        return wait_until(status, seconds)


def seconds_since(started_at: float) -> float:
    return time.monotonic() - started_at
