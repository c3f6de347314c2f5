"""What the apps here have in common: what they note of each request, and the model that answers in them."""

import time
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from flask import Flask, request


class Notes:
    """What happened to each request of an app, in order, by the key that the client has given it.

    ``GET /noted/<key>`` tells: pairs of what happened and when (CLOCK_MONOTONIC, which all processes share).
    """

    def __init__(self, app: Flask) -> None:
        self._noted: dict[str, list[tuple[str, float]]] = defaultdict(list)
        app.add_url_rule("/noted/<key>", "noted", lambda key: {"notes": self._noted[key]})
        app.teardown_request(self._note_teardown)

    def add(self, key: str, what: str) -> None:
        self._noted[key].append((what, time.monotonic()))

    def _note_teardown(self, _error: BaseException | None) -> None:
        if "key" in request.args:
            self.add(request.args["key"], "torn down")


class Question(NamedTuple):
    """What the model is asked. prefill, pause: seconds before the first word, and between two"""

    key: str
    words: int
    prefill: float
    pause: float
    breaks: bool

    @classmethod
    def of_request(cls) -> "Question":
        return cls(
            key=request.args["key"],
            words=request.args.get("words", 4, int),
            prefill=request.args.get("prefill", 0, float),
            pause=request.args.get("pause", 0.01, float),
            breaks="breaks" in request.args,
        )


def answer(question: Question) -> Iterator[str]:
    """Yield the words of a model that takes its time, as a client of a model's API does; it blocks meanwhile."""
    time.sleep(question.prefill)
    for number in range(question.words):
        yield f"wörd-{number} "
        time.sleep(question.pause)
    if question.breaks:
        raise ConnectionError("the model has gone")
